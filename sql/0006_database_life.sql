-- Is this still the server that was asked before, without a crash in between? InnoDB shows a commit to others just before it is
-- on the disk: a server that dies then has forgotten, after its restart, what a reader has put into the cache meanwhile.

-- One row, in the server's memory alone: it is gone when the server was restarted.
CREATE TABLE database_life (
  id   TINYINT UNSIGNED NOT NULL,
  life CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  PRIMARY KEY (id)
) ENGINE=MEMORY;

-- The life in which the control row was changed last. An older build leaves it alone, and notices no restart.
ALTER TABLE cache_control
  ADD COLUMN database_life CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '';
