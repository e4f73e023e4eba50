//! The SQL over a job's target tables and over the temporary tables of one load. Every name is schema-qualified. What
//! the stage tables have besides the job's columns is in upper case, which no column of a job can be.

use crate::schema::{ColumnType, Schema, Table};

/// The members of the batch whose rows take part: ordinal, source_order, accepted.
pub(super) const MEMBER: &str = "pg_temp.sluicegate_member";
/// The records that are skipped: ordinal, record, reason, other_batch_id.
pub(super) const REFUSAL: &str = "pg_temp.sluicegate_refusal";
/// The records whose keys are known or there twice.
pub(super) const COLLISION: &str = "pg_temp.sluicegate_collision";

/// A double-quoted SQL name. Names come from the job definition, which allows `[a-z0-9_]` alone, and from the catalog.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The type of a column.
pub(super) fn sql_type(kind: ColumnType) -> String {
    match kind {
        ColumnType::Text => "text".to_owned(),
        ColumnType::Integer => "bigint".to_owned(),
        ColumnType::Decimal { precision, scale } => format!("numeric({precision},{scale})"),
        ColumnType::Date => "date".to_owned(),
        ColumnType::Boolean => "boolean".to_owned(),
    }
}

/// The names that belong to one table.
struct Names {
    target: String,
    stage: String,
    /// The job's columns.
    columns: Vec<String>,
    kinds: Vec<ColumnType>,
    /// The parent's key, as this table names it.
    parent_key: Vec<String>,
}

/// The SQL for a job's tables.
pub(super) struct Statements<'s> {
    pub(super) schema: &'s Schema,
    names: Vec<Names>,
}

fn list(parts: impl IntoIterator<Item = String>) -> String {
    parts.into_iter().collect::<Vec<_>>().join(", ")
}

fn matching(left: &str, left_key: &[String], right: &str, right_key: &[String]) -> String {
    let pairs = left_key.iter().zip(right_key).map(|(l, r)| format!("{left}.{l} = {right}.{r}"));
    pairs.collect::<Vec<_>>().join(" AND ")
}

impl Names {
    fn new(database_schema: &str, schema: &Schema, index: usize) -> Self {
        let (table, parent) = (&schema.tables[index], schema.parent());
        let columns: Vec<String> = table.column_names().map(quoted).collect();
        let parent_key = if index == 0 {
            table.key_names().map(quoted).collect()
        } else {
            // A child table begins with its parent's key columns.
            columns[..parent.key.len()].to_vec()
        };
        Self {
            target: format!("{}.{}", quoted(database_schema), quoted(&table.name)),
            stage: format!("pg_temp.sluicegate_stage_{index}"),
            kinds: table.columns.iter().map(|column| column.kind).collect(),
            columns,
            parent_key,
        }
    }

    /// The stage holds the parent's key in its own type, so that joins use the key's index; all else as text, so that a
    /// value which the target refuses is met where its document can be found.
    fn stage_columns(&self) -> impl Iterator<Item = String> {
        self.columns.iter().zip(&self.kinds).map(|(column, kind)| {
            match (self.parent_key.contains(column), kind) {
                (false, _) | (_, ColumnType::Text) => format!("{column} text COLLATE \"C\""),
                (true, kind) => format!("{column} {}", sql_type(*kind)),
            }
        })
    }

    fn canonical(&self, alias: &str) -> String {
        list(self.columns.iter().map(|column| format!("{alias}.{column}::text")))
    }

    fn typed(&self, alias: &str) -> String {
        list(self.columns.iter().zip(&self.kinds).map(|(column, kind)| {
            let cast =
                if *kind == ColumnType::Text { String::new() } else { format!("::{}", sql_type(*kind)) };
            format!("{alias}.{column}{cast}")
        }))
    }
}

impl<'s> Statements<'s> {
    pub(super) fn new(database_schema: &str, schema: &'s Schema) -> Self {
        let names =
            (0..schema.tables.len()).map(|index| Names::new(database_schema, schema, index)).collect();
        Self { schema, names }
    }

    fn parent(&self) -> &Names {
        &self.names[0]
    }

    /// COPY into a target table.
    pub(super) fn copy_target(&self, table: usize) -> String {
        let names = &self.names[table];
        format!("COPY {} ({}, batch_id, source_order) FROM STDIN", names.target, list(names.columns.clone()))
    }

    /// COPY into a stage table.
    pub(super) fn copy_stage(&self, table: usize) -> String {
        let names = &self.names[table];
        format!(
            "COPY {} (\"ORDINAL\", \"RECORD\", \"LINE\", {}) FROM STDIN",
            names.stage,
            list(names.columns.clone())
        )
    }

    /// Makes the temporary tables of a staged load.
    pub(super) fn create_stage(&self) -> String {
        let mut script = String::from(
            "CREATE TEMP TABLE sluicegate_member (ordinal integer PRIMARY KEY, source_order text COLLATE \"C\" NOT NULL,
                                                  accepted boolean NOT NULL) ON COMMIT DROP;
             CREATE TEMP TABLE sluicegate_refusal (ordinal integer, record bigint, reason text, other_batch_id text,
                                                   PRIMARY KEY (ordinal, record)) ON COMMIT DROP;"
        );
        for (index, names) in self.names.iter().enumerate() {
            let columns = list(names.stage_columns());
            script.push_str(&format!(
                "CREATE TEMP TABLE sluicegate_stage_{index} (\"ORDINAL\" integer NOT NULL, \"RECORD\" bigint NOT NULL,
                                                             \"LINE\" bigint NOT NULL, {columns}) ON COMMIT DROP;"
            ));
        }
        script
    }

    /// Indexes and statistics, once the stage is full: temporary tables get none by themselves.
    pub(super) fn index_stage(&self) -> String {
        let mut script = String::new();
        for (index, names) in self.names.iter().enumerate() {
            let stage = &names.stage;
            script.push_str(&format!("CREATE INDEX ON {stage} (\"ORDINAL\", \"RECORD\");"));
            if index == 0 {
                script.push_str(&format!("CREATE INDEX ON {stage} ({});", list(names.parent_key.clone())));
            }
            script.push_str(&format!("ANALYZE {stage};"));
        }
        script.push_str(&format!("ANALYZE {MEMBER};"));
        script
    }

    /// The digest of a record's content; `child_of` says which rows of a child table are the record's.
    fn digest(
        &self,
        parent: &str,
        place: impl Fn(&Names) -> String,
        child_of: impl Fn(&Names) -> String,
    ) -> String {
        let mut parts = vec![format!("ROW({})::text", self.parent().canonical(parent))];
        for names in &self.names[1..] {
            parts.push(format!(
                "(SELECT string_agg(x.r, E'\\n' ORDER BY x.r) FROM (SELECT ROW({})::text COLLATE \"C\" AS r
                  FROM {} c WHERE {}) x)",
                names.canonical("c"),
                place(names),
                child_of(names),
            ));
        }
        // Sixteen bytes of SHA-256: enough to tell contents apart, and small enough for half a million of them.
        format!("substr(sha256(convert_to(ROW({})::text, 'UTF8')), 1, 16)", parts.join(", "))
    }

    fn rows_of(&self) -> String {
        let children = self.names[1..].iter().map(|names| {
            format!(
                "(SELECT count(*) FROM {} c WHERE c.\"ORDINAL\" = s.\"ORDINAL\" AND c.\"RECORD\" = s.\"RECORD\")",
                names.stage
            )
        });
        std::iter::once("1".to_owned()).chain(children).collect::<Vec<_>>().join(" + ")
    }

    /// Makes the table of the records whose keys are in the target or several times in the batch, in member order.
    pub(super) fn create_collisions(&self) -> String {
        let parent = self.parent();
        let key = list(parent.parent_key.iter().map(|name| format!("s.{name}")));
        let here = self.digest(
            "s",
            |names| names.stage.clone(),
            |_| "c.\"ORDINAL\" = s.\"ORDINAL\" AND c.\"RECORD\" = s.\"RECORD\"".to_owned(),
        );
        let there = self.digest(
            "t",
            |names| names.target.clone(),
            |names| matching("c", &names.parent_key, "t", &parent.parent_key),
        );
        format!(
            "CREATE TEMP TABLE sluicegate_collision ON COMMIT DROP AS
             SELECT row_number() OVER (ORDER BY s.\"ORDINAL\", s.\"RECORD\") AS seq, dense_rank() OVER (ORDER BY {key}) AS key_group,
                    s.\"ORDINAL\" AS ordinal, s.\"RECORD\" AS record, s.\"LINE\" AS line, s.\"COPIES\" > 1 AS repeated, ({rows})::bigint AS rows, {here} AS here,
                    t.batch_id::text AS there_batch_id, t.source_order::text AS there_source_order,
                    CASE WHEN t.batch_id IS NOT NULL THEN {there} END AS there
             FROM (SELECT s.*, count(*) OVER (PARTITION BY {key}) AS \"COPIES\" FROM {stage} s
                   JOIN {MEMBER} m ON m.ordinal = s.\"ORDINAL\" WHERE m.accepted) s
             LEFT JOIN {target} t ON {joined}
             WHERE t.batch_id IS NOT NULL OR s.\"COPIES\" > 1;
             CREATE INDEX ON {COLLISION} (seq)",
            rows = self.rows_of(),
            stage = parent.stage,
            target = parent.target,
            joined = matching("s", &parent.parent_key, "t", &parent.parent_key),
        )
    }

    /// A page of collisions after `$1`.
    pub(super) fn page_of_collisions() -> String {
        format!(
            "SELECT seq, key_group, ordinal, record, line, repeated, rows, here, there_batch_id, there_source_order, there
             FROM {COLLISION} WHERE seq > $1 ORDER BY seq LIMIT 10000"
        )
    }

    /// Inserts accepted rows: `$1` batch, `$2`–`$3` ordinals, `$4`–`$5` records. A parent whose key has come in between
    /// is passed over, and the count tells.
    pub(super) fn insert(&self, table: usize) -> String {
        let names = &self.names[table];
        let described: &Table = &self.schema.tables[table];
        let order = described.key.iter().map(|&column| {
            let kind = described.columns[column].kind;
            let name = &names.columns[column];
            if kind == ColumnType::Text {
                format!("s.{name}")
            } else {
                format!("s.{name}::{}", sql_type(kind))
            }
        });
        let on_conflict = if table == 0 {
            format!(" ON CONFLICT ({}) DO NOTHING", list(names.parent_key.clone()))
        } else {
            String::new()
        };
        format!(
            "INSERT INTO {target} ({columns}, batch_id, source_order)
             SELECT {typed}, $1, m.source_order FROM {stage} s JOIN {MEMBER} m ON m.ordinal = s.\"ORDINAL\"
             WHERE m.accepted AND s.\"ORDINAL\" BETWEEN $2 AND $3 AND s.\"RECORD\" BETWEEN $4 AND $5
               AND NOT EXISTS (SELECT 1 FROM {REFUSAL} r WHERE r.ordinal = s.\"ORDINAL\" AND r.record = s.\"RECORD\")
             ORDER BY {order}{on_conflict}",
            target = names.target,
            columns = list(names.columns.clone()),
            typed = names.typed("s"),
            stage = names.stage,
            order = list(order),
        )
    }

    /// The rows of table `table` of the staged record `$1`, `$2`, as canonical texts.
    pub(super) fn staged_rows(&self, table: usize) -> String {
        let names = &self.names[table];
        format!(
            "SELECT {} FROM {} s WHERE s.\"ORDINAL\" = $1 AND s.\"RECORD\" = $2",
            names.canonical("s"),
            names.stage
        )
    }

    /// The rows of table `table` in the target with the key of the staged record `$1`, `$2`, as canonical texts.
    pub(super) fn target_rows(&self, table: usize) -> String {
        let (names, parent) = (&self.names[table], self.parent());
        format!(
            "SELECT {} FROM {} s JOIN {} t ON {} WHERE s.\"ORDINAL\" = $1 AND s.\"RECORD\" = $2",
            names.canonical("t"),
            parent.stage,
            names.target,
            matching("t", &names.parent_key, "s", &parent.parent_key),
        )
    }

    /// The line and the key of the staged record `$1`, `$2`.
    pub(super) fn staged_key(&self) -> String {
        let parent = self.parent();
        let key = list(parent.parent_key.iter().map(|name| format!("s.{name}::text")));
        format!(
            "SELECT s.\"LINE\", {key} FROM {} s WHERE s.\"ORDINAL\" = $1 AND s.\"RECORD\" = $2",
            parent.stage
        )
    }

    /// The key of a row as a JSON object, in just the form that the other warehouse writes.
    fn key_json(&self, alias: &str, names: &Names) -> String {
        let described = self.schema.parent().key_names();
        let pairs = described
            .zip(&names.parent_key)
            .map(|(name, column)| format!("'\"{name}\":' || to_json({alias}.{column}::text)::text"));
        format!("'{{' || {} || '}}'", pairs.collect::<Vec<_>>().join(" || ',' || "))
    }

    /// Writes the refusals of accepted documents into the ledger: `$1` batch, `$2` table name.
    pub(super) fn record_refusals(&self) -> String {
        format!(
            "INSERT INTO sluicegate.refused (batch_id, ordinal, record, table_name, record_key, reason, other_batch_id)
             SELECT $1, r.ordinal, r.record, $2, {}, r.reason, r.other_batch_id
             FROM {REFUSAL} r JOIN {MEMBER} m ON m.ordinal = r.ordinal
             JOIN {} s ON s.\"ORDINAL\" = r.ordinal AND s.\"RECORD\" = r.record WHERE m.accepted",
            self.key_json("s", self.parent()),
            self.parent().stage,
        )
    }

    /// Locks, sorted by key, the rows in the target that have a key of the batch.
    pub(super) fn lock_known(&self) -> String {
        let parent = self.parent();
        let key = list(parent.parent_key.iter().map(|name| format!("t.{name}")));
        format!(
            "SELECT count(*) FROM (SELECT 1 FROM {} t WHERE EXISTS (SELECT 1 FROM {} s JOIN {MEMBER} m ON m.ordinal = s.\"ORDINAL\"
                                                              WHERE m.accepted AND {})
                                   ORDER BY {key} FOR UPDATE) locked",
            parent.target,
            parent.stage,
            matching("s", &parent.parent_key, "t", &parent.parent_key),
        )
    }

    /// Deletes the rows of table `table` whose keys have the collisions `$1` (an array of `seq`); what was there.
    pub(super) fn delete_known(&self, table: usize) -> String {
        let (names, parent) = (&self.names[table], self.parent());
        format!(
            "DELETE FROM {} t USING {COLLISION} k JOIN {} s ON s.\"ORDINAL\" = k.ordinal AND s.\"RECORD\" = k.record
             WHERE k.seq = ANY($1) AND {} RETURNING k.seq, {}, t.batch_id::text, t.source_order::text, {}",
            names.target,
            parent.stage,
            matching("t", &names.parent_key, "s", &parent.parent_key),
            self.key_json("t", names),
            names.canonical("t"),
        )
    }
}
