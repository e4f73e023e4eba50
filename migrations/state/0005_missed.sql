-- Documents of which no notification told, and that a listing of the landing found in its turn.
ALTER TABLE journal_total ADD COLUMN missed INTEGER NOT NULL DEFAULT 0 CHECK (missed >= 0 AND missed <= received);
