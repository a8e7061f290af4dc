-- A published revision takes force at a moment, on every host at once. season.revision and its times stay what they
-- were, the revision published last; it counts from in_force_at_ms on, and until then the one before it, with its own
-- times, does (previous_revision 0: none, the season is not there yet). in_force_at_ms 0: published before there were
-- moments. A build that does not know these columns goes by season.revision at once, and may publish, too.
ALTER TABLE season
  ADD COLUMN in_force_at_ms                 BIGINT NOT NULL DEFAULT 0,
  ADD COLUMN previous_revision              BIGINT UNSIGNED NOT NULL DEFAULT 0,
  ADD COLUMN previous_starts_at_ms          BIGINT NOT NULL DEFAULT 0,
  ADD COLUMN previous_purchase_closes_at_ms BIGINT NOT NULL DEFAULT 0,
  ADD COLUMN previous_ends_at_ms            BIGINT NOT NULL DEFAULT 0,
  ADD COLUMN previous_claim_until_ms        BIGINT NOT NULL DEFAULT 0,
  ADD COLUMN previous_late_window_ms        BIGINT NOT NULL DEFAULT 0;
