//go:build !cgo || !unix

package gssapi

// The same functions as in the c_*.go files for builds that cannot reach the system's library.

var unavailable = result{
	major: uint32(ErrUnavailable),
	text:  "this program was built without the system's GSSAPI library: build it with CGO_ENABLED=1 on a Unix system, with a C compiler and the krb5 headers",
}

func nameEqual(a, b Name) result                 { return unavailable }
func nameCanonical(n Name, mech OID) result      { return unavailable }
func nameExport(n Name, mech OID) result         { return unavailable }
func nameLocal(n Name, mech OID) result          { return unavailable }
func mechList() result                           { return unavailable }
func mechBySASLName(name string) result          { return unavailable }
func acquire(a *acquisition) result              { return unavailable }
func credInfo(cred box) result                   { return unavailable }
func credShare(cred box) result                  { return unavailable }
func cacheFree(name box)                         {}
func credFree(cred box)                          {}
func initStep(ctx, cred box, in []byte) result   { return unavailable }
func acceptStep(ctx, cred box, in []byte) result { return unavailable }
func ctxInfo(ctx box) result                     { return unavailable }
func ctxInitiator(ctx box) result                { return unavailable }
func ctxExport(ctx box) result                   { return unavailable }
func ctxImport(token []byte) result              { return unavailable }
func ctxFree(ctx box)                            {}
func unwrap(ctx box, token []byte) result        { return unavailable }
func mic(ctx box, msg []byte) result             { return unavailable }
func verifyMIC(ctx box, msg, mic []byte) result  { return unavailable }
func krb5Cache(name string) result               { return unavailable }
func krb5Keytab(name string) result              { return unavailable }
func krb5Initiator(service, host string) result  { return unavailable }
func liveObjects() int64                         { return 0 }

func ctxNew(target Name, mech OID, bindings []byte, flags Flags, lifetime uint32) result {
	return unavailable
}

func wrap(ctx box, msg []byte, confidential bool) result { return unavailable }

func wrapSize(ctx box, max uint32, confidential bool) result { return unavailable }
