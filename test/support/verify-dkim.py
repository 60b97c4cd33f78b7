"""Verify every DKIM signature of a message with dkimpy.

In:  {"message": base64, "records": {"selector._domainkey.domain": "v=DKIM1; ..."}}
Out: [true, false, ...], one for each DKIM-Signature from the top.
"""

import base64
import json
import sys

import dkim


def main():
    request = json.load(sys.stdin)
    message = base64.b64decode(request["message"])
    records = {name + ".": text.encode() for name, text in request["records"].items()}

    def lookup(name, timeout=5):
        name = name.decode() if isinstance(name, bytes) else name
        return records.get(name if name.endswith(".") else name + ".")

    head = message.split(b"\r\n\r\n", 1)[0].lower()
    count = (b"\r\n" + head).count(b"\r\ndkim-signature:")
    results = []
    for index in range(count):
        try:
            results.append(bool(dkim.DKIM(message, minkey=1024).verify(idx=index, dnsfunc=lookup)))
        except dkim.DKIMException as error:
            print(error, file=sys.stderr)
            results.append(False)
    json.dump(results, sys.stdout)


main()
