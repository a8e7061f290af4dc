-- Distrust by player, and who reaches Redis. An older build on this schema does not look into cache_distrust: until every host
-- runs this build, a host that cannot reach Redis must not be one of the new ones alone.

-- The replication id of the Redis of the epoch, beside its run_id: one that was a replica meanwhile keeps its run_id, but may
-- hold what its master had.
ALTER TABLE cache_control
  ADD COLUMN replid VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '';

-- A player and season that no host may trust the cache about, because a write could not be fenced there. settled: every lease
-- from before the row is dead. Its row is taken away only under the lock of the player's progress row, once the cache holds a
-- fence again.
CREATE TABLE cache_distrust (
  player_id     VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  season_id     VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  distrust_id   BINARY(16) NOT NULL,
  settled       BOOLEAN NOT NULL,
  created_at_ms BIGINT NOT NULL,
  PRIMARY KEY (player_id, season_id),
  KEY oldest (created_at_ms)
) ENGINE=InnoDB;

-- Which Redis each host reaches (empty: none), and when it said so. A host that cannot fence chooses by it between two ways
-- that are both safe: distrust of single players where others go on with this Redis, or the cache off for everybody.
CREATE TABLE cache_host (
  host_id    BINARY(16) NOT NULL,
  redis_id   VARCHAR(81) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  seen_at_ms BIGINT NOT NULL,
  PRIMARY KEY (host_id)
) ENGINE=InnoDB;
