"""Buckets, a topic, queues, a crawler and a query engine of a stand-in for AWS, and everything that goes wrong there.

A bucket tells a topic of what lands, and the topic two queues: the machines', and one for the soak to read. Of every
twenty messages one is sent again, up to half a minute later. Some uploads nobody is told of, because at their moment the
bucket's notification configuration is a wrong one, as if somebody had deployed it.
"""
import email.utils
import json
import os
import subprocess
import time

from .calls import ACCESS_KEY, REGION, SECRET_KEY, Calls
from .machine import ROOT

PREFIX = "in/"
TABLES = ("invoices", "invoice_items")
# A message of so many is sent again, and at most so many seconds later.
TWICE, TWICE_WITHIN = 20, 30
# For the stand-in to pass on what it was told; it takes milliseconds.
DELIVERED_WITHIN = 60
VARIABLES = {"ministack": "SLUICEGATE_TEST_AWS", "moto": "SLUICEGATE_TEST_MOTO"}


class Cloud:
    repairs = True

    def __init__(self, emulator, versioned, chance):
        started = subprocess.run(
            ["scripts/emulators", "start", emulator], cwd=ROOT, text=True, stdout=subprocess.PIPE, check=True
        ).stdout
        endpoint = started.strip().removeprefix(f"export {VARIABLES[emulator]}=")
        self.emulator, self.versioned, self.chance = emulator, versioned, chance
        # Of the stand-ins' own speed on two cores that everything else shares.
        self.documents_a_minute = {"ministack": 1000, "moto": 200}[emulator]
        # What the proof cannot look at: queries of moto succeed and see nothing.
        self.unproven = ("query",) if emulator == "moto" else ()
        self.calls = Calls(endpoint)
        self.name = f"soak-{os.getpid()}"
        self.landing, self.data = f"{self.name}-landing", f"{self.name}-data"
        self.database = self.name.replace("-", "_")
        self.told = self.announced = self.sent_again = self.untold = 0
        self.make()

    def make(self):
        place = f"<CreateBucketConfiguration><LocationConstraint>{REGION}</LocationConstraint></CreateBucketConfiguration>"
        for bucket in (self.landing, self.data):
            self.calls.put(f"/{bucket}", place)
        if self.versioned:
            enabled = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
            self.calls.put(f"/{self.landing}", enabled, {"versioning": ""})
        self.topic = self.calls.sns("CreateTopic", Name=self.name).findtext(".//{*}TopicArn")
        self.queue, self.copies = (self.subscribed(f"{self.name}-{name}") for name in ("queue", "copies"))
        self.tell(True)
        if self.emulator == "moto":
            # A crawl takes its time, and does not wait to be asked for.
            transition = {"model_name": "glue::crawl", "transition": {"progression": "time", "seconds": 5}}
            headers = {"Content-Type": "application/json"}
            body = json.dumps(transition).encode()
            self.calls.call("moto", "POST", "/moto-api/state-manager/set-transition", headers=headers, body=body)

    def subscribed(self, name):
        """A queue of that name, to which the topic delivers."""
        queue = self.calls.sqs("CreateQueue", QueueName=name)["QueueUrl"]
        arn = self.attributes(queue, "QueueArn")["QueueArn"]
        policy = {"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage",
            "Resource": arn, "Condition": {"ArnEquals": {"aws:SourceArn": self.topic}},
        }]}
        self.calls.sqs("SetQueueAttributes", QueueUrl=queue, Attributes={"Policy": json.dumps(policy)})
        self.calls.sns("Subscribe", TopicArn=self.topic, Protocol="sqs", Endpoint=arn)
        return queue

    def tell(self, whether):
        """Whether the bucket tells the topic of what lands, or only of what never happens here."""
        event = f"s3:Object{'Created' if whether else 'Removed'}:*"
        topic = f"<TopicConfiguration><Topic>{self.topic}</Topic><Event>{event}</Event></TopicConfiguration>"
        wiring = f"<NotificationConfiguration>{topic}</NotificationConfiguration>"
        self.calls.put(f"/{self.landing}", wiring, {"notification": ""})

    def attributes(self, queue, *names):
        return self.calls.sqs("GetQueueAttributes", QueueUrl=queue, AttributeNames=names)["Attributes"]

    def variables(self):
        common = {
            "SLUICEGATE_LANDING": f"s3://{self.landing}/{PREFIX}",
            "SLUICEGATE_QUEUE": self.queue,
            "SLUICEGATE_ARCHIVE": f"s3://{self.data}/archive",
            "SLUICEGATE_CURATED": f"s3://{self.data}/curated",
            "SLUICEGATE_CRAWLER": self.name,
            "SLUICEGATE_CRAWLER_ROLE": "arn:aws:iam::123456789012:role/glue",
            "SLUICEGATE_DATABASE": self.database,
            "AWS_ENDPOINT_URL": self.calls.endpoint,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        }
        athena = {"SLUICEGATE_WORKGROUP": "primary", "SLUICEGATE_ATHENA_OUTPUT": f"s3://{self.data}/answers/"}
        return common | (athena if self.emulator == "ministack" else {})

    def prepare(self, machine):
        """Tables and crawler. Without a query engine the views remain for a person: status 3."""
        made = machine.run("catalog", "--apply")
        if made.returncode not in ({"ministack": (0,), "moto": (0, 3)}[self.emulator]):
            raise SystemExit(f"catalog --apply: {made.returncode}\n{made.stdout}")

    def register(self):
        """The partitions that a crawl of Glue registers, and no stand-in's does."""
        for table in TABLES:
            folder = f"curated/{table}/dt="
            dates = {key.removeprefix(folder).partition("/")[0] for key in self.calls.list(self.data, folder)}
            partitions = [{"Values": [date], "StorageDescriptor": {"Location": f"s3://{self.data}/{folder}{date}/"}}
                          for date in sorted(dates)]
            self.calls.glue("BatchCreatePartition", DatabaseName=self.database, TableName=f"{table}_csv",
                            PartitionInputList=partitions)

    def land(self, upload):
        if not upload.told:
            # The bucket may tell late of what landed before.
            self.all_is_announced()
            self.tell(False)
        path = f"/{self.landing}/{self.key(upload)}"
        put = self.calls.put(path, upload.text)
        there = self.calls.head(path)
        landed = email.utils.parsedate_to_datetime(there["Last-Modified"])
        upload.etag = there["ETag"].strip('"')
        upload.version = put["x-amz-version-id"] if self.versioned else f"{upload.etag}@{landed:%Y-%m-%dT%H:%M:%SZ}"
        if upload.told:
            self.told += 1
        else:
            self.untold += 1
            self.tell(True)

    def all_is_announced(self):
        end = time.monotonic() + DELIVERED_WITHIN
        while self.announced < self.told:
            if time.monotonic() > end:
                raise SystemExit(f"{self.told} uploads, of which the stand-in announced {self.announced}")
            self.meddle()

    def meddle(self):
        """Reads what was announced, and sends some of it again."""
        if self.announced >= self.told:
            return
        messages = self.calls.sqs("ReceiveMessage", QueueUrl=self.copies, MaxNumberOfMessages=10).get("Messages", [])
        for message in messages:
            self.calls.sqs("DeleteMessage", QueueUrl=self.copies, ReceiptHandle=message["ReceiptHandle"])
            if "ObjectCreated:" not in message["Body"]:
                continue
            self.announced += 1
            if self.announced % TWICE == 0:
                delay = self.chance.randrange(TWICE_WITHIN)
                self.calls.sqs("SendMessage", QueueUrl=self.queue, MessageBody=message["Body"], DelaySeconds=delay)
                self.sent_again += 1

    def said(self):
        return f"{self.untold} that nobody was told of, {self.sent_again} messages sent twice; "

    def await_the_delayed(self):
        """A message that is sent late is neither there nor hidden, so no drain waits for it."""
        delayed = "ApproximateNumberOfMessagesDelayed"
        while int(self.attributes(self.queue, delayed)[delayed]) > 0:
            time.sleep(1)

    def messages(self):
        """In the queue, hidden ones included."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        return sum(map(int, self.attributes(self.queue, *names).values()))

    def key(self, upload):
        return PREFIX + upload.key

    def read(self, place, suffix=""):
        for key in self.calls.list(self.data, f"{place}/"):
            if key.endswith(suffix):
                yield key.rpartition("/")[2], self.calls.get(f"/{self.data}/{key}")
