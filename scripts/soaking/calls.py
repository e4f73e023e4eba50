"""As much of the AWS API as the soak needs, spoken to a stand-in on this machine.

Stand-ins find the service by the scope of the credentials, and verify no signature: there is none.
"""
import json
import urllib.parse
import urllib.request
import xml.etree.ElementTree

REGION = "eu-west-1"
ACCESS_KEY, SECRET_KEY = "testkey", "testsecret"


class Calls:
    def __init__(self, endpoint):
        self.endpoint = endpoint

    def call(self, service, method, path="/", query=None, headers=None, body=None):
        """(headers, bytes) of the answer; anything but success is an error."""
        scope = f"{ACCESS_KEY}/20260101/{REGION}/{service}/aws4_request"
        signed = {"Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"}
        # Without one urllib names a type of its own, which means something to SNS and SQS only.
        signed["Content-Type"] = "application/octet-stream"
        url = self.endpoint + urllib.parse.quote(path)
        if query:
            url += "?" + urllib.parse.urlencode(query)
        request = urllib.request.Request(url, data=body, method=method, headers=signed | (headers or {}))
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.headers, answer.read()

    def put(self, path, body, query=None):
        return self.call("s3", "PUT", path, query, body=body.encode())[0]

    def head(self, path):
        return self.call("s3", "HEAD", path)[0]

    def get(self, path):
        return self.call("s3", "GET", path)[1]

    def list(self, bucket, prefix):
        """The keys below a prefix."""
        token = {}
        while token is not None:
            query = {"list-type": "2", "prefix": prefix} | token
            page = xml.etree.ElementTree.fromstring(self.call("s3", "GET", f"/{bucket}", query)[1])
            for key in page.findall("{*}Contents/{*}Key"):
                yield key.text
            following = page.findtext("{*}NextContinuationToken")
            token = {"continuation-token": following} if following else None

    def sqs(self, action, **members):
        return self.json("sqs", f"AmazonSQS.{action}", "1.0", members)

    def glue(self, action, **members):
        return self.json("glue", f"AWSGlue.{action}", "1.1", members)

    def json(self, service, target, version, members):
        headers = {"X-Amz-Target": target, "Content-Type": f"application/x-amz-json-{version}"}
        answer = self.call(service, "POST", headers=headers, body=json.dumps(members).encode())[1]
        return json.loads(answer or b"{}")

    def sns(self, action, **members):
        form = urllib.parse.urlencode({"Action": action, "Version": "2010-03-31"} | members)
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = self.call("sns", "POST", headers=headers, body=form.encode())[1]
        return xml.etree.ElementTree.fromstring(answer)
