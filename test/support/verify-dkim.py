"""Verify every DKIM signature of a message with dkimpy.

In:  {"message": base64, "records": {"selector._domainkey.domain": "v=DKIM1; ..."}, "now": seconds, left out: the present}
Out: [true, false, ...], one for each DKIM-Signature from the top.
A list of such messages is answered by a list.
"""

import base64
import json
import sys
import time

import dkim


def verify(request):
    message = base64.b64decode(request["message"])
    records = {name + ".": text.encode() for name, text in request["records"].items()}
    present = time.time
    if "now" in request:
        time.time = lambda: request["now"]

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
    time.time = present
    return results


def main():
    request = json.load(sys.stdin)
    answer = [verify(each) for each in request] if isinstance(request, list) else verify(request)
    json.dump(answer, sys.stdout)


main()
