module github.com/nego-sso/nego/bench

go 1.26.0

replace github.com/nego-sso/nego => ../

require (
	github.com/dpotapov/go-spnego v0.0.0-20210315154721-298b63a54430
	github.com/jcmturner/gokrb5/v8 v8.4.4
	github.com/nego-sso/nego v0.0.0-00010101000000-000000000000
)

require (
	github.com/alexbrainman/sspi v0.0.0-20210105120005-909beea2cc74 // indirect
	github.com/hashicorp/go-uuid v1.0.3 // indirect
	github.com/jcmturner/aescts/v2 v2.0.0 // indirect
	github.com/jcmturner/dnsutils/v2 v2.0.0 // indirect
	github.com/jcmturner/gofork v1.7.6 // indirect
	github.com/jcmturner/goidentity/v6 v6.0.1 // indirect
	github.com/jcmturner/rpc/v2 v2.0.3 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/net v0.62.0 // indirect
	golang.org/x/text v0.43.0 // indirect
)
