-- Purchases, claims with their deliveries, resets, and the audit log. What earlier builds read keeps its meaning: an older
-- build runs on this schema, too, as long as nobody has used what it does not know.

-- How many audit entries the player's chain in this season has, and the hash of the last one: a chain that lost its end is
-- found, too. overflow_paid: units of a currency overflow that were turned into deliveries.
ALTER TABLE progress
  ADD COLUMN audit_count   BIGINT UNSIGNED NOT NULL DEFAULT 0,
  ADD COLUMN audit_hash    BINARY(32) NOT NULL DEFAULT '',
  ADD COLUMN overflow_paid BIGINT UNSIGNED NOT NULL DEFAULT 0,
  ADD KEY by_season (season_id, player_id);

-- A pass that was taken back keeps its row: what it gave once it never gives again.
ALTER TABLE pass_ownership
  ADD COLUMN active BOOLEAN NOT NULL DEFAULT TRUE;

ALTER TABLE claim
  ADD COLUMN delivery_id BINARY(16) NOT NULL DEFAULT '';

-- Claims that a reset has forgotten; undoing it brings them back.
CREATE TABLE forgotten_claim (
  player_id     VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  season_id     VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  reset_id      BINARY(16) NOT NULL,
  tier          INT UNSIGNED NOT NULL,
  pass_id       VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  reward_id     VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  claimed_at_ms BIGINT NOT NULL,
  delivery_id   BINARY(16) NOT NULL,
  PRIMARY KEY (player_id, season_id, reset_id, tier, pass_id, reward_id)
) ENGINE=InnoDB;

CREATE TABLE player_reset (
  player_id     VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  season_id     VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  reset_id      BINARY(16) NOT NULL,
  xp_removed    BIGINT UNSIGNED NOT NULL,
  overflow_paid BIGINT UNSIGNED NOT NULL,
  claims        VARCHAR(8) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- 'keep' or 'forget'
  undone        BOOLEAN NOT NULL,
  reset_at_ms   BIGINT NOT NULL,
  PRIMARY KEY (player_id, season_id, reset_id)
) ENGINE=InnoDB;

-- A purchase and where it stands. Its id is the economy's key for ever, its price is fixed in it. live_pass is the pass
-- (empty: tiers) while no second purchase of it may stand beside this one, else NULL. due_at_ms: when the courier asks next; before that
-- somebody is at work on it, by the name in owner.
CREATE TABLE purchase (
  player_id       VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  season_id       VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  purchase_id     BINARY(16) NOT NULL,
  pass_id         VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- empty: tiers
  tiers           INT UNSIGNED NOT NULL,
  live_pass       VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  currency        VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  amount          BIGINT UNSIGNED NOT NULL,
  state           VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  xp_given        BIGINT UNSIGNED NOT NULL,
  tries           INT UNSIGNED NOT NULL,
  due_at_ms       BIGINT NOT NULL,
  owner           BINARY(16) NOT NULL,
  created_at_ms   BIGINT NOT NULL,
  updated_at_ms   BIGINT NOT NULL,
  PRIMARY KEY (player_id, season_id, purchase_id),
  UNIQUE KEY live (player_id, season_id, live_pass),
  KEY due (state, due_at_ms),
  KEY newest (state, purchase_id)
) ENGINE=InnoDB;

-- The outbox: written with the claim, sent by a courier.
CREATE TABLE delivery (
  player_id     VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  delivery_id   BINARY(16) NOT NULL,
  season_id     VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  reward_id     VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- empty: overflow that became currency
  kind          VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  item          VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  quantity      BIGINT UNSIGNED NOT NULL,
  state         VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- pending, delivered, failed
  tries         INT UNSIGNED NOT NULL,
  due_at_ms     BIGINT NOT NULL,
  owner         BINARY(16) NOT NULL,
  last_error    VARCHAR(200) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  created_at_ms BIGINT NOT NULL,
  updated_at_ms BIGINT NOT NULL,
  PRIMARY KEY (player_id, delivery_id),
  KEY due (state, due_at_ms),
  KEY newest (state, delivery_id)
) ENGINE=InnoDB;

-- Every write but XP grants, one entry each, and each step of a purchase: append-only. The entries of a player in a season
-- form a hash chain. With its key an entry is the idempotency record, too: the first answer is written from it again.
CREATE TABLE audit_log (
  player_id       VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  season_id       VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  sequence        BIGINT UNSIGNED NOT NULL,
  entry_id        BINARY(16) NOT NULL,
  action          VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  idempotency_key VARCHAR(128) CHARACTER SET ascii COLLATE ascii_bin NULL,
  request_hash    BINARY(16) NOT NULL,
  actor           VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  role            VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  reason          VARCHAR(500) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  request_id      VARCHAR(128) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  subject         VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- id of the purchase, reset or delivery
  revision        BIGINT UNSIGNED NOT NULL, -- that it made; 0: it made none
  xp_before       BIGINT UNSIGNED NOT NULL,
  xp_after        BIGINT UNSIGNED NOT NULL,
  state_before    MEDIUMTEXT CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- JSON
  state_after     MEDIUMTEXT CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- JSON
  result          MEDIUMTEXT CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- what the answer says besides: JSON
  entered_at_ms   BIGINT NOT NULL,
  hash            BINARY(32) NOT NULL,
  PRIMARY KEY (player_id, season_id, sequence),
  KEY by_subject (player_id, season_id, subject),
  UNIQUE KEY request (player_id, season_id, action, idempotency_key),
  KEY newest (entry_id),
  KEY by_action (action, entry_id),
  KEY by_actor (actor, entry_id)
) ENGINE=InnoDB;

-- Chores that one host at a time does for all: who does it, until when (by the database's clock), and how far it has come.
CREATE TABLE chore (
  name          VARCHAR(128) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  owner         BINARY(16) NOT NULL,
  held_until_ms BIGINT NOT NULL,
  position      VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  done          BOOLEAN NOT NULL,
  PRIMARY KEY (name)
) ENGINE=InnoDB;
