-- What operators steer while the service runs: the rollout flags of the cache, and warming. And when players were active last.

-- One row. revision counts the changes of the flags. audit_count and audit_hash are the head of the operators' own chain in
-- audit_log, whose entries have neither player nor season: every one is written with this row locked.
CREATE TABLE cache_flags (
  id                   TINYINT UNSIGNED NOT NULL,
  revision             BIGINT UNSIGNED NOT NULL,
  cache_share          INT UNSIGNED NOT NULL, -- per cent of the players whose reads the cache answers
  cache                INT UNSIGNED NOT NULL, -- 0 or 1, like warming
  warming              INT UNSIGNED NOT NULL,
  auditor_checks_per_s INT UNSIGNED NOT NULL, -- of one host
  audit_count          BIGINT UNSIGNED NOT NULL,
  audit_hash           BINARY(32) NOT NULL,
  PRIMARY KEY (id)
) ENGINE=InnoDB;

-- One row: the warming that was asked for last, and how far it has come. request counts them. epoch: the newest that a
-- warming was begun for. at_*: the player who was looked at last.
CREATE TABLE cache_warming (
  id          TINYINT UNSIGNED NOT NULL,
  request     BIGINT UNSIGNED NOT NULL,
  epoch       BIGINT UNSIGNED NOT NULL,
  season_id   VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- empty: all that are active
  players     BIGINT UNSIGNED NOT NULL, -- how many at most
  done        BOOLEAN NOT NULL,
  expected    BIGINT UNSIGNED NOT NULL,
  looked_at   BIGINT UNSIGNED NOT NULL,
  loaded      BIGINT UNSIGNED NOT NULL,
  at_season   VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  at_hour     INT UNSIGNED NOT NULL,
  at_player   VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  PRIMARY KEY (id)
) ENGINE=InnoDB;

-- The hour (since 1970) of the player's last write: its index entry moves at most once an hour.
ALTER TABLE progress
  ADD COLUMN active_hour INT UNSIGNED NOT NULL DEFAULT 0,
  ADD KEY by_activity (season_id, active_hour, player_id);

INSERT INTO cache_flags (id, revision, cache_share, cache, warming, auditor_checks_per_s, audit_count, audit_hash)
  VALUES (1, 1, 100, 1, 1, 10, 0, '');
INSERT INTO cache_warming (id, request, epoch, season_id, players, done, expected, looked_at, loaded, at_season, at_hour, at_player)
  VALUES (1, 0, 0, '', 0, TRUE, 0, 0, 0, '', 0, '');
