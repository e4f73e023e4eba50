//! Goal: a job file is understood, or refused with file, line, key and what is allowed.

use super::*;

const SHIPPED: &str = include_str!("../../jobs/invoices.toml");

fn none(_: &str) -> Option<String> {
    None
}

fn parse(raw: &str) -> Result<Job, ConfigError> {
    Job::parse(Path::new("jobs/invoices.toml"), raw, &none)
}

#[test]
fn the_shipped_job_is_the_contract() {
    let job = parse(SHIPPED).unwrap();
    let tables: Vec<_> = job
        .definition
        .schema()
        .tables
        .iter()
        .map(|table| {
            let columns: Vec<_> = table.column_names().collect();
            let key: Vec<_> = table.key_names().collect();
            format!("{} ({}; key {})", table.name, columns.join(", "), key.join(" + "))
        })
        .collect();
    insta::assert_snapshot!(tables.join("\n"));
    assert_eq!(
        (job.name.as_str(), job.landing.to_string().as_str(), job.crawler.as_ref()),
        ("invoices", "var/landing", None)
    );
    assert_eq!(job.window.cron(), "0 */15 * * * *");
    assert_eq!(
        job.limits,
        BatchLimits { documents: 1000, bytes: 64 << 20, rows: 200_000, bytes_per_row: 64, seconds: 5 }
    );
    for key in ["a.txt", "deep/er/b c+%é.txt.gz"] {
        assert!(job.matches("local", key), "{key}");
    }
    assert!(!job.matches("local", "a.txt.bak") && !job.matches("other", "a.txt"));
}

#[test]
fn variables_fill_the_job_and_its_text_needs_them_no_more() {
    let env = |name: &str| match name {
        "SLUICEGATE_LANDING" => Some("s3://drop/in/".to_owned()),
        "SLUICEGATE_CRAWLER" => Some("the \"crawler\"\\1".to_owned()),
        "SLUICEGATE_WINDOW" => Some(String::new()),
        _ => None,
    };
    let job = Job::parse(Path::new("jobs/invoices.toml"), SHIPPED, &env).unwrap();
    assert_eq!(job.crawler.as_deref(), Some("the \"crawler\"\\1"));
    assert!(
        job.matches("drop", "in/x.txt")
            && !job.matches("drop", "other/x.txt")
            && !job.matches("local", "in/x.txt")
    );
    assert!(job.text.contains("# Customer invoices") && !job.text.contains("${"));
    let again = Job::parse(Path::new("x"), &job.text, &none).unwrap();
    assert_eq!((&again.text, &again.hash), (&job.text, &job.hash));
    assert_eq!(Definition::from_text(&job.text).unwrap().schema(), job.definition.schema());
    assert_eq!(job.hash.len(), 64);
    assert_ne!(job.hash, parse(SHIPPED).unwrap().hash);
}

#[test]
fn a_document_belongs_to_the_day_of_the_jobs_time_zone() {
    let job = parse(&SHIPPED.replace("\"UTC\"", "\"Asia/Kolkata\"")).unwrap();
    assert_eq!(job.day("2024-03-31T18:29:59Z".parse().unwrap()).to_string(), "2024-03-31");
    assert_eq!(job.day("2024-03-31T18:30:00Z".parse().unwrap()).to_string(), "2024-04-01");
}

#[test]
fn replace_is_understood_and_supported() {
    let job = parse(&SHIPPED.replace("on_conflict = \"reject\"", "on_conflict = \"replace\"")).unwrap();
    assert_eq!(job.on_conflict, OnConflict::Replace);
}

#[test]
fn every_mistake_names_file_line_key_and_what_is_allowed() {
    let cases = [
        ("name = \"invoices\"", "name = \"In voices\""),
        ("name = \"invoices\"", "nome = \"invoices\""),
        ("name = \"invoices\"\n", ""),
        ("landing = \"${SLUICEGATE_LANDING:-var/landing}\"", "landing = \"${SLUICEGATE_LANDING}\""),
        ("landing = \"${SLUICEGATE_LANDING:-var/landing}\"", "landing = \"gs://bucket\""),
        ("landing = \"${SLUICEGATE_LANDING:-var/landing}\"", "landing = 5"),
        ("keys = '\\.txt(\\.gz)?$'", "keys = '(\\.txt'"),
        ("on_conflict = \"reject\"", "on_conflict = \"ignore\""),
        ("\"UTC\"", "\"Mars\""),
        ("[window]", "[window]\nbogus = 1"),
        ("cron = \"${SLUICEGATE_WINDOW:-0 */15 * * * *}\"", "cron = \"*/15 * * * *\""),
        ("cron = \"${SLUICEGATE_WINDOW:-0 */15 * * * *}\"", ""),
        ("documents = 1000", "documents = 0"),
        ("documents = 1000", "documents = -1"),
        ("\"64 MiB\"", "\"64 MB\""),
        ("format = \"labelled\"", "format = \"csv\""),
        ("begin = '^\\s*Invoice\\s*$'", "begin = ''"),
        ("banners = ['^\\s*\\*{3,}\\s*$']", "banners = ['*']"),
        ("unknown = \"reject\"", "unknown = \"keep\""),
        ("[record]", "[recrod]"),
        ("key = [\"customer_id\", \"invoice_id\"]", "key = []"),
        ("key = [\"customer_id\", \"invoice_id\"]", "key = [\"customer_id\", \"number\"]"),
        ("key = [\"customer_id\", \"invoice_id\"]", "key = [\"customer_id\", \"in_words\"]"),
        ("label = \"Dated\", ", ""),
        ("label = \"Dated\"", "label = \"Inv-ID\""),
        ("label = \"Dated\"", "label = \"Dated:\""),
        ("name = \"dated\"", "name = \"Dated\""),
        ("name = \"dated\"", "name = \"dt\""),
        ("name = \"dated\"", "name = \"sgst\""),
        ("\"%B %d %Y\"", "\"%B %d\""),
        ("type = \"decimal(18,2)\"", "type = \"decimal(29,2)\""),
        ("type = \"decimal(18,2)\"", "type = \"float\""),
        ("label = \"From\", type = \"text\"", "label = \"From\", type = \"text\", max_lenght = 5"),
        ("label = \"From\", type = \"text\"", "label = \"From\", type = \"text\", default = \"\""),
        ("label = \"Inv-ID\", type = \"text\"", "label = \"Inv-ID\", type = \"text\", max_length = 500"),
        ("label = \"Amount\", type", "label = \"Amount\", max_length = 5, type"),
        ("label = \"Amount\", type = \"decimal(18,2)\"", "label = \"Amount\""),
        ("table = \"invoice_items\"", "table = \"invoices\""),
        ("name = \"tax\"", "name = \"invoice_id\""),
        ("name = \"tax\"", "name = \"duty\""),
        ("    { name = \"tax\", type = \"decimal(18,2)\" },\n", ""),
        ("total = amount + sgst", "total is amount + sgst"),
        ("total = amount + sgst", "total = amount + "),
        ("total = amount + sgst", "total = amount + dated"),
        ("sum(items.price)", "sum(lines.price)"),
        ("sum(items.price)", "sum(items.cost)"),
        ("[[section]]", "[[section]"),
        ("name = \"top-items\"", "name = \"top items\""),
        ("name = \"tax-by-month\"", "name = \"spend-by-customer-and-month\""),
        ("name = \"top-items\"\n", ""),
        ("title = \"The twenty", "tilte = \"The twenty"),
        ("SELECT description", "DELETE description"),
        ("[[query]]", "[[query]]\nname = \"empty\"\nsql = \" -- nothing\"\n\n[[query]]"),
    ];
    let mut all = String::new();
    for (from, to) in cases {
        assert!(SHIPPED.contains(from), "{from}");
        let error = match parse(&SHIPPED.replacen(from, to, 1)) {
            Ok(_) => "NO ERROR".to_owned(),
            Err(error) => error.to_string(),
        };
        all.push_str(&format!("{}\n  {error}\n", to.replace('\n', "⏎")));
    }
    insta::assert_snapshot!(all);
}

#[test]
fn no_text_makes_the_reader_panic() {
    use proptest::prelude::*;
    let piece = prop::sample::select(vec![
        "\"", "'", "[", "]", "{", "}", "${", "$${A}", "=", "\n", ",", "é", "1", "#", "'''", "\\", "(",
        "x = 1\n",
    ]);
    let change = (any::<prop::sample::Index>(), 0_usize..20, piece);
    proptest!(ProptestConfig::with_cases(150), |(changes in prop::collection::vec(change, 1..4))| {
        let mut text: Vec<char> = SHIPPED.chars().collect();
        for (at, removed, piece) in changes {
            let at = at.index(text.len());
            text.splice(at..text.len().min(at + removed), piece.chars());
        }
        let text: String = text.into_iter().collect();
        match parse(&text) {
            Ok(job) => drop(Definition::from_text(&job.text).expect("a resolved text can be read again")),
            Err(error) => assert!(!error.message.is_empty() && error.file.is_some()),
        }
    });
}

const EXAMPLE: &str = include_str!("../../examples/payments/payments.toml");

#[test]
fn the_example_of_a_delimited_job_is_right_beside_the_shipped_one() {
    let payments = Job::parse(Path::new("jobs/payments.toml"), EXAMPLE, &none).unwrap();
    let shipped = parse(SHIPPED).unwrap();
    assert_ne!(payments.name, shipped.name);
    assert_ne!(payments.landing, shipped.landing);
    assert_eq!(payments.definition.schema().tables.len(), 1);
    assert_eq!(Definition::from_text(&payments.text).unwrap().schema(), payments.definition.schema());
}

#[test]
fn what_a_delimited_job_says_wrongly_is_named_with_line_and_key() {
    let told = |from: &str, to: &str| {
        assert!(EXAMPLE.contains(from), "{from}");
        let changed = EXAMPLE.replacen(from, to, 1);
        let error = Job::parse(Path::new("jobs/payments.toml"), &changed, &none).unwrap_err();
        format!("{to}\n  {error}\n")
    };
    let cases = [
        told("delimiter = \",\"", "delimiter = \"||\""),
        told("delimiter = \",\"", "delimiter = \"é\""),
        told("delimiter = \",\"", "delimiter = \"a\""),
        told("quote = '\"'", "quote = ','"),
        told("header = true", "header = false"),
        told("header = \"Payment\"", "header = \" Payment\""),
        told("header = \"Payment\"", "header = \"Customer\""),
        told("header = \"Payment\"", "label = \"Payment\""),
        told("header = \"Payment\"", "position = 0"),
        told("header = \"Payment\"", "header = \"Payment\", position = 1"),
        told("unknown = \"reject\"", "unknown = \"warn\""),
        told("[delimited]", "[labelled]\n[delimited]"),
        told(
            "[[check]]",
            "[[section]]\nname = \"x\"\ntable = \"x\"\nkey = [\"y\"]\nheader = \"x\"\nrow = \"x\"\ncolumns = []\n[[check]]",
        ),
        told("net = amount - fee", "net = sum(items.fee)"),
    ];
    insta::assert_snapshot!(cases.join("\n"));
    let labelled = SHIPPED.replace("label = \"Dated\"", "header = \"Dated\"");
    assert!(parse(&labelled).unwrap_err().to_string().contains("only for `format = \"delimited\"`"));
    let other = SHIPPED.replace("[labelled]", "[delimited]\n[labelled]");
    assert!(parse(&other).unwrap_err().to_string().contains("[delimited] is for"));
}
