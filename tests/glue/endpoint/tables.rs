//! Databases, tables and partitions: kept as they were given. Names are lower case, as in Glue.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::answer::{Answer, Refusal, exists, not_found, page, refusal, seconds, text};

/// Values of a partition.
type Values = Vec<String>;

#[derive(Default)]
struct Database {
    described: Value,
    tables: BTreeMap<String, Value>,
    /// By table; a table need not be described to have partitions here.
    partitions: BTreeMap<String, BTreeMap<Values, Value>>,
}

/// The catalog of one account.
#[derive(Default)]
pub(super) struct Tables {
    databases: BTreeMap<String, Database>,
}

impl Tables {
    /// Registers a partition; whether it is new.
    pub(super) fn register(
        &mut self,
        database: &str,
        table: &str,
        values: &[&str],
        at: DateTime<Utc>,
    ) -> bool {
        let values: Values = values.iter().map(|value| (*value).to_owned()).collect();
        let described = json!({ "Values": values, "DatabaseName": database, "TableName": table,
            "CreationTime": seconds(at) });
        let database = self.databases.entry(database.to_lowercase()).or_default();
        let partitions = database.partitions.entry(table.to_lowercase()).or_default();
        partitions.insert(values, described).is_none()
    }

    /// Answers what concerns the catalog; none for other operations.
    pub(super) fn serve(&mut self, operation: &str, input: &Value, now: DateTime<Utc>) -> Option<Answer> {
        let answer = match operation {
            "CreateDatabase" => self.create_database(input, now),
            "GetDatabase" => text(input, "Name")
                .and_then(|name| self.database(&name).map(|found| json!({ "Database": found.described }))),
            "GetDatabases" => {
                let all = self.databases.values().map(|database| database.described.clone()).collect();
                page(input, all, "DatabaseList", 100)
            }
            "DeleteDatabase" => text(input, "Name").and_then(|name| {
                self.databases
                    .remove(&name.to_lowercase())
                    .map(|_| json!({}))
                    .ok_or_else(|| not_found("Database"))
            }),
            "CreateTable" | "UpdateTable" => self.put_table(operation == "CreateTable", input, now),
            "GetTable" => self.table(input).map(|table| json!({ "Table": table })),
            "GetTables" => self.get_tables(input),
            "DeleteTable" => self.delete_table(input),
            "CreatePartition" => self.create_partition(input, &input["PartitionInput"], now),
            "BatchCreatePartition" => self.batch_create(input, now),
            "GetPartition" => self.get_partition(input),
            "GetPartitions" => self.get_partitions(input),
            "DeletePartition" => self.delete_partition(input),
            _ => return None,
        };
        Some(answer)
    }

    fn database(&mut self, name: &str) -> Result<&mut Database, Refusal> {
        self.databases.get_mut(&name.to_lowercase()).ok_or_else(|| not_found(&format!("Database {name}")))
    }

    fn of(&mut self, input: &Value) -> Result<&mut Database, Refusal> {
        let name = text(input, "DatabaseName")?;
        self.database(&name)
    }

    fn create_database(&mut self, input: &Value, now: DateTime<Utc>) -> Answer {
        let name = text(&input["DatabaseInput"], "Name")?.to_lowercase();
        if self.databases.contains_key(&name) {
            return Err(exists(&format!("Database {name}")));
        }
        let mut described = input["DatabaseInput"].clone();
        described["Name"] = json!(name);
        described["CreateTime"] = seconds(now);
        self.databases.insert(name, Database { described, ..Database::default() });
        Ok(json!({}))
    }

    fn put_table(&mut self, create: bool, input: &Value, now: DateTime<Utc>) -> Answer {
        let name = text(&input["TableInput"], "Name")?.to_lowercase();
        let database_name = text(input, "DatabaseName")?.to_lowercase();
        let database = self.database(&database_name)?;
        let before = database.tables.get(&name);
        match (create, before) {
            (true, Some(_)) => return Err(exists("Table")),
            (false, None) => return Err(not_found(&format!("Table {name}"))),
            _ => {}
        }
        let version = before.and_then(|table| table["VersionId"].as_str()?.parse::<u64>().ok());
        let created = before.map_or_else(|| seconds(now), |table| table["CreateTime"].clone());
        let mut table = input["TableInput"].clone();
        table["Name"] = json!(name);
        table["DatabaseName"] = json!(database_name);
        table["CreateTime"] = created;
        table["UpdateTime"] = seconds(now);
        table["CreatedBy"] = json!("arn:aws:iam::123456789012:role/somebody");
        table["IsRegisteredWithLakeFormation"] = json!(false);
        table["CatalogId"] = json!("123456789012");
        table["VersionId"] = json!(version.map_or(0, |version| version + 1).to_string());
        database.tables.insert(name, table);
        Ok(json!({}))
    }

    fn table(&mut self, input: &Value) -> Answer {
        let name = text(input, "Name")?.to_lowercase();
        let database = self.of(input)?;
        database.tables.get(&name).cloned().ok_or_else(|| not_found(&format!("Table {name}")))
    }

    /// `Expression` is a pattern in Glue; here it is a part of the name.
    fn get_tables(&mut self, input: &Value) -> Answer {
        let part = input["Expression"].as_str().unwrap_or("").replace(['*', '.'], "");
        let tables = &self.of(input)?.tables;
        let found =
            tables.iter().filter(|(name, _)| name.contains(&part)).map(|(_, table)| table.clone()).collect();
        page(input, found, "TableList", 100)
    }

    fn delete_table(&mut self, input: &Value) -> Answer {
        let name = text(input, "Name")?.to_lowercase();
        let database = self.of(input)?;
        database.partitions.remove(&name);
        database.tables.remove(&name).map(|_| json!({})).ok_or_else(|| not_found(&format!("Table {name}")))
    }

    fn partitions(&mut self, input: &Value) -> Result<&mut BTreeMap<Values, Value>, Refusal> {
        let name = text(input, "TableName")?.to_lowercase();
        let database = self.of(input)?;
        if database.tables.contains_key(&name) {
            return Ok(database.partitions.entry(name).or_default());
        }
        database.partitions.get_mut(&name).ok_or_else(|| not_found(&format!("Table {name}")))
    }

    fn create_partition(&mut self, input: &Value, given: &Value, now: DateTime<Utc>) -> Answer {
        let values = values(&given["Values"])?;
        let mut described = given.clone();
        described["DatabaseName"] = input["DatabaseName"].clone();
        described["TableName"] = input["TableName"].clone();
        described["CreationTime"] = seconds(now);
        let partitions = self.partitions(input)?;
        if partitions.contains_key(&values) {
            return Err(exists("Partition"));
        }
        partitions.insert(values, described);
        Ok(json!({}))
    }

    fn batch_create(&mut self, input: &Value, now: DateTime<Utc>) -> Answer {
        self.partitions(input)?;
        let given = input["PartitionInputList"].as_array().cloned().unwrap_or_default();
        if given.len() > 100 {
            return Err(refusal("InvalidInputException", "at most 100 partitions"));
        }
        let mut errors = Vec::new();
        for partition in &given {
            if let Err(refusal) = self.create_partition(input, partition, now) {
                let detail = json!({ "ErrorCode": refusal.code, "ErrorMessage": refusal.message });
                errors.push(json!({ "PartitionValues": partition["Values"], "ErrorDetail": detail }));
            }
        }
        Ok(json!({ "Errors": errors }))
    }

    fn get_partition(&mut self, input: &Value) -> Answer {
        let values = values(&input["PartitionValues"])?;
        let partition = self.partitions(input)?.get(&values).cloned();
        partition.map(|found| json!({ "Partition": found })).ok_or_else(|| not_found("Partition"))
    }

    /// The expression is not looked at, as in some stand-ins, so that nobody relies on it.
    fn get_partitions(&mut self, input: &Value) -> Answer {
        let all = self.partitions(input)?.values().cloned().collect();
        // Few a page, so that pages are met in every test.
        page(input, all, "Partitions", 2)
    }

    fn delete_partition(&mut self, input: &Value) -> Answer {
        let values = values(&input["PartitionValues"])?;
        self.partitions(input)?.remove(&values).map(|_| json!({})).ok_or_else(|| not_found("Partition"))
    }
}

fn values(given: &Value) -> Result<Values, Refusal> {
    let given = given.as_array().ok_or_else(|| refusal("InvalidInputException", "no partition values"))?;
    Ok(given.iter().map(|value| value.as_str().unwrap_or_default().to_owned()).collect())
}
