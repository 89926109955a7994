"""Reads numbers, makes so many GETs with requests-kerberos as it is by default, and writes what they took."""

import json
import sys
import time

import requests
import requests_kerberos

url = sys.argv[1]
session = requests.Session()
session.trust_env = False
session.auth = requests_kerberos.HTTPKerberosAuth()

for line in sys.stdin:
    n = int(line)
    cpu, start = time.process_time_ns(), time.perf_counter_ns()
    for _ in range(n):
        response = session.get(url)
        response.raise_for_status()
    print(json.dumps({
        "n": n,
        "wall_ns": time.perf_counter_ns() - start,
        "cpu_ns": time.process_time_ns() - cpu,
    }), flush=True)
