//go:build interop

package peers

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// javaProgram stands for a program with HttpURLConnection.
const javaProgram = `
import java.io.*;
import java.net.*;
import java.nio.charset.StandardCharsets;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import javax.net.ssl.*;

public class Client {
    public static void main(String[] args) throws Exception {
        String url = args[0], ca = args[1], body = args[2];
        if (!ca.isEmpty()) {
            KeyStore store = KeyStore.getInstance("PKCS12");
            store.load(null, null);
            try (InputStream in = new FileInputStream(ca)) {
                store.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(in));
            }
            TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
            trust.init(store);
            SSLContext context = SSLContext.getInstance("TLS");
            context.init(null, trust.getTrustManagers(), null);
            HttpsURLConnection.setDefaultSSLSocketFactory(context.getSocketFactory());
        }
        for (String send : new String[] {null, null, body}) {
            HttpURLConnection c = (HttpURLConnection) new URL(url).openConnection();
            if (send != null) {
                c.setRequestMethod("POST");
                c.setDoOutput(true);
                try (OutputStream out = c.getOutputStream()) {
                    out.write(send.getBytes(StandardCharsets.UTF_8));
                }
            }
            int status = c.getResponseCode();
            InputStream in = status < 400 ? c.getInputStream() : c.getErrorStream();
            System.out.println(status + " " + new String(in.readAllBytes(), StandardCharsets.UTF_8).trim().replaceAll("\\s+", " "));
        }
    }
}
`

// Java has a program with HttpURLConnection make three requests: two GETs and a POST of the body. The file ca has the
// certificate for https. Java takes the tickets of KRB5CCNAME, a file, and does not know KRB5_CONFIG: it is told.
// Options are Java's own, such as -Dname=value.
func Java(tb testing.TB, env []string, url, ca, body string, options ...string) (answers []Answer, failure string) {
	tb.Helper()
	need(tb, "default-jre-headless", "/usr/bin/java")
	program := filepath.Join(tb.TempDir(), "Client.java")
	if err := os.WriteFile(program, []byte(javaProgram), 0o600); err != nil {
		tb.Fatal(err)
	}
	args := []string{"/usr/bin/java", "-Djava.security.krb5.conf=" + variable(env, "KRB5_CONFIG")}
	args = append(append(args, options...), program, url, ca, body)
	return runClient(tb, env, args...)
}

// JavaCache returns the option that has Java take the tickets of a file instead of those of KRB5CCNAME.
func JavaCache(tb testing.TB, cache string) (option string) {
	tb.Helper()
	login := filepath.Join(tb.TempDir(), "login.conf")
	text := fmt.Sprintf(`com.sun.security.jgss.krb5.initiate {
	com.sun.security.auth.module.Krb5LoginModule required useTicketCache=true doNotPrompt=true ticketCache=%q;
};
`, strings.TrimPrefix(cache, "FILE:"))
	if err := os.WriteFile(login, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	return "-Djava.security.auth.login.config=" + login
}
