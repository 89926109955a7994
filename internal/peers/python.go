//go:build interop

package peers

import "testing"

const python = "/usr/bin/python3"

// pythonProgram stands for a program with requests-kerberos: one session, which verifies the server.
const pythonProgram = `
import sys, requests, requests_kerberos
url, ca, body = sys.argv[1:]
session = requests.Session()
session.trust_env = False
session.verify = ca or None
session.auth = requests_kerberos.HTTPKerberosAuth(mutual_authentication=requests_kerberos.REQUIRED)
for send in (lambda: session.get(url), lambda: session.get(url), lambda: session.post(url, data=body)):
    resp = send()
    print(resp.status_code, *resp.text.split(), flush=True)
`

// Python has one session of requests-kerberos, with mutual authentication required, make three requests: two GETs and a
// POST of the body. The file ca has the certificate for https.
func Python(tb testing.TB, env []string, url, ca, body string) (answers []Answer, failure string) {
	tb.Helper()
	need(tb, "python3-requests-kerberos", python, "/usr/lib/python3/dist-packages/requests_kerberos")
	return runClient(tb, env, python, "-Ic", pythonProgram, url, ca, body)
}
