//go:build !cgo || !unix

package gssapi

// The same functions as in the c_*.go files for builds that cannot reach the system's library.

const heimdal = false

var unavailable = result{
	major: uint32(ErrUnavailable),
	text:  "this program was built without the system's GSSAPI library: build it with CGO_ENABLED=1 on a Unix system, with a C compiler and the krb5 headers",
}

func nameEqual(a, b Name) result                 { return unavailable }
func nameCanonical(n Name, mech OID) result      { return unavailable }
func nameExport(n Name, mech OID) result         { return unavailable }
func nameLocal(n Name, mech OID) result          { return unavailable }
func nameDisplay(n Name, as OID) result          { return unavailable }
func nameMechs(n Name) result                    { return unavailable }
func nameUID(n Name, mech OID) result            { return unavailable }
func nameAttributes(n Name, names []byte) result { return unavailable }
func ctxComposite(ctx box) result                { return unavailable }
func mechList() result                           { return unavailable }
func mechBySASLName(name string) result          { return unavailable }
func mechInfo(mech OID) result                   { return unavailable }
func mechAttr(attr OID) result                   { return unavailable }
func acquire(a *acquisition) result              { return unavailable }
func impersonate(cred box, user Name) result     { return unavailable }
func credInfo(cred box) result                   { return unavailable }
func credImpersonator(cred box) result           { return unavailable }
func credShare(cred box) result                  { return unavailable }
func cacheFree(name box)                         {}
func credFree(cred box)                          {}
func credByMech(cred box, mech OID) result       { return unavailable }
func credByOID(cred box, oid OID) result         { return unavailable }
func credAdd(cred box, a *acquisition) result    { return unavailable }
func credExport(cred box) result                 { return unavailable }
func credImport(token []byte) result             { return unavailable }
func initStep(ctx, cred box, in []byte) result   { return unavailable }
func acceptStep(ctx, cred box, in []byte) result { return unavailable }
func ctxInitiator(ctx box) result                { return unavailable }
func ctxExport(ctx box) result                   { return unavailable }
func ctxImport(token []byte) result              { return unavailable }
func ctxFree(ctx box)                            {}
func unwrap(ctx box, token []byte) result        { return unavailable }
func mic(ctx box, msg []byte) result             { return unavailable }
func verifyMIC(ctx box, msg, mic []byte) result  { return unavailable }
func krb5Cache(name string) result               { return unavailable }
func krb5Keytab(keytab string, name Name) result { return unavailable }
func krb5Initiator(n Name, ticket []byte) result { return unavailable }
func liveObjects() int64                         { return 0 }

func nameMayLogIn(n Name, mech OID, user string) result { return unavailable }

func nameSet(n Name, attribute, values []byte, complete bool) result { return unavailable }

func mechsByAttrs(desired, except, critical []byte) result { return unavailable }

func ctxNew(target Name, mech OID, bindings []byte, flags Flags, lifetime uint32) result {
	return unavailable
}

func ctxInfo(ctx box, mech OID, acceptor Name) result { return unavailable }

func ctxAttributes(ctx box, names []byte) result { return unavailable }

func krb5Ticket(keytab string, ticket []byte) result { return unavailable }

func credStore(cred box, store []byte, overwrite bool) result { return unavailable }

func krb5Config() result { return unavailable }

func credSet(cred box, enctypes []int32, exactFlags bool) result { return unavailable }

func wrap(ctx box, msg []byte, confidential bool) result { return unavailable }

func wrapSize(ctx box, max uint32, confidential bool) result { return unavailable }

func wrapIOV(ctx box, iov []byte, count int, confidential bool) result { return unavailable }

func unwrapIOV(ctx box, iov []byte, count int) result { return unavailable }

func micIOV(ctx box, iov []byte, count int) result { return unavailable }

func verifyMICIOV(ctx box, iov []byte, count int) result { return unavailable }

func wrapAEAD(ctx box, assoc, msg []byte, confidential bool) result { return unavailable }

func unwrapAEAD(ctx box, assoc, token []byte) result { return unavailable }

func prf(ctx box, full bool, in []byte, want int) result { return unavailable }

func ctxInquire(ctx box, object OID) result { return unavailable }

func ctxAuthData(ctx box, adType int32, object OID) result { return unavailable }

func ctxTicket(ctx box) result { return unavailable }

func ctxLucid(ctx box) result { return unavailable }

func ctxOption(ctx box, object OID, value []byte) result { return unavailable }

func ctxProcess(ctx box, token []byte) result { return unavailable }

func available(f Feature) bool { return false }
