-- Deliveries that an inbox refused because they do not verify: counted by reason, and never kept. Their text is a
-- stranger's. The words are the inbox's own.
CREATE TABLE refusal (
    source  TEXT NOT NULL CHECK (source <> ''),
    reason  TEXT NOT NULL CHECK (reason <> ''),
    count   INTEGER NOT NULL CHECK (count >= 1),
    last_at TEXT NOT NULL CHECK (last_at GLOB '????-??-??T??:??:??.??????Z'),
    PRIMARY KEY (source, reason)
) STRICT, WITHOUT ROWID;
