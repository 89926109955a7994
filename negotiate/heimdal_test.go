//go:build heimdal

package negotiate

// onHeimdal says which library the tests run with. Heimdal has no replay cache, no mechanism of several legs that works
// without further servers, and no client keytab beside the default keytab.
const onHeimdal = true
