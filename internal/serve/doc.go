// Package serve is the engine of `nego serve`: an HTTP server that lets in whoever signs on with Negotiate and is on its
// list, and then serves files, passes requests on to an upstream, or answers the question of another server, an ingress
// in front of many, whether a request may pass.
//
// What the upstream learns of the user is in header fields that no client can set: theirs are taken off in every spelling
// that somebody may read as the same, before ours are set.
package serve
