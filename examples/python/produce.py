"""produce.py TOPIC: appends each line of its input as a record, and prints the partition and the offset of each"""

import sys

from weir import request

topic = sys.argv[1]
for line in sys.stdin:
    record = {"value": line.rstrip("\n")}
    _, produced = request("POST", f"/topics/{topic}/records", {"records": [record]})
    [result] = produced["results"]
    print(result["partition"], result["baseOffset"], flush=True)
