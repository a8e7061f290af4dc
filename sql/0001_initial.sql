-- The first schema. Runs on MySQL 8 and MariaDB 10.11, and uses nothing that Galera, Vitess or TiDB refuse: no foreign
-- keys, triggers or AUTO_INCREMENT. The primary key of every player table begins with player_id. Times are milliseconds
-- since 1970 UTC (columns end in _ms).

-- A season's head: what is in force. Its documents stand in season_document; revision 0 there is the draft.
CREATE TABLE season (
  season_id             VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  revision              BIGINT UNSIGNED NOT NULL DEFAULT 0,
  stored_state          VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  starts_at_ms          BIGINT NOT NULL,
  purchase_closes_at_ms BIGINT NOT NULL,
  ends_at_ms            BIGINT NOT NULL,
  claim_until_ms        BIGINT NOT NULL,
  late_window_ms        BIGINT NOT NULL,
  updated_at_ms         BIGINT NOT NULL,
  PRIMARY KEY (season_id)
) ENGINE=InnoDB;

-- Published documents are never changed; a season's current one is at season.revision.
CREATE TABLE season_document (
  season_id     VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  revision      BIGINT UNSIGNED NOT NULL,
  document      MEDIUMTEXT CHARACTER SET utf8mb4 NOT NULL,
  created_at_ms BIGINT NOT NULL,
  PRIMARY KEY (season_id, revision)
) ENGINE=InnoDB;

-- Moves with every change that processes must see; one row.
CREATE TABLE season_directory (
  id      TINYINT UNSIGNED NOT NULL,
  version BIGINT UNSIGNED NOT NULL,
  PRIMARY KEY (id)
) ENGINE=InnoDB;

-- One row a player and season, never deleted; revision never goes back. The counts tell whether there is anything to
-- look for in pass_ownership and claim, and move under this row's lock with them.
CREATE TABLE progress (
  player_id     VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  season_id     VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  xp            BIGINT UNSIGNED NOT NULL DEFAULT 0,
  revision      BIGINT UNSIGNED NOT NULL DEFAULT 0,
  pass_count    SMALLINT UNSIGNED NOT NULL DEFAULT 0,
  claim_count   INT UNSIGNED NOT NULL DEFAULT 0,
  updated_at_ms BIGINT NOT NULL DEFAULT 0,
  PRIMARY KEY (player_id, season_id)
) ENGINE=InnoDB;

CREATE TABLE pass_ownership (
  player_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  season_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  pass_id   VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  since_ms  BIGINT NOT NULL,
  PRIMARY KEY (player_id, season_id, pass_id)
) ENGINE=InnoDB;

-- The primary key is the guard against paying a reward twice.
CREATE TABLE claim (
  player_id     VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  season_id     VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  tier          INT UNSIGNED NOT NULL,
  pass_id       VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  reward_id     VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  claimed_at_ms BIGINT NOT NULL,
  PRIMARY KEY (player_id, season_id, tier, pass_id, reward_id)
) ENGINE=InnoDB;

-- The XP ledger and, by its primary key, the idempotency record: the facts from which the first answer was written.
CREATE TABLE xp_grant (
  player_id       VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  season_id       VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  idempotency_key VARCHAR(128) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  grant_id        BINARY(16) NOT NULL,
  request_hash    BINARY(16) NOT NULL,
  amount          BIGINT UNSIGNED NOT NULL,
  source          VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  tags            VARCHAR(2048) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  occurred_at_ms  BIGINT NOT NULL,
  xp_before       BIGINT UNSIGNED NOT NULL,
  xp_after        BIGINT UNSIGNED NOT NULL,
  tier_before     INT UNSIGNED NOT NULL,
  tier_after      INT UNSIGNED NOT NULL,
  unlocked        MEDIUMTEXT CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  revision        BIGINT UNSIGNED NOT NULL,
  granted_at_ms   BIGINT NOT NULL,
  PRIMARY KEY (player_id, season_id, idempotency_key),
  KEY ledger (player_id, season_id, revision)
) ENGINE=InnoDB;

-- The word of the database on the cache; one row. change_number counts its changes; settled means that every lease given
-- before the last change is dead. Every write holds a share lock on it.
CREATE TABLE cache_control (
  id            TINYINT UNSIGNED NOT NULL,
  epoch         BIGINT UNSIGNED NOT NULL,
  change_number BIGINT UNSIGNED NOT NULL,
  enabled       BOOLEAN NOT NULL,
  settled       BOOLEAN NOT NULL,
  run_id        VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  database_id   VARCHAR(255) CHARACTER SET utf8mb4 NOT NULL,
  changed_at_ms BIGINT NOT NULL,
  PRIMARY KEY (id)
) ENGINE=InnoDB;

INSERT INTO season_directory (id, version) VALUES (1, 1);
INSERT INTO cache_control (id, epoch, change_number, enabled, settled, run_id, database_id, changed_at_ms)
  VALUES (1, 1, 1, FALSE, FALSE, '', '', 0);
