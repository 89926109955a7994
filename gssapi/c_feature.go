//go:build cgo && unix

package gssapi

// #include "shim.h"
import "C"

var has = [...]C.int{
	FeatureStore:        C.NEGO_HAS_STORE,
	FeatureStoreInto:    C.NEGO_HAS_STORE_INTO,
	FeatureImpersonate:  C.NEGO_HAS_IMPERSONATE,
	FeatureAttributes:   C.NEGO_HAS_ATTRIBUTES,
	FeatureChannelBound: C.NEGO_HAS_CHANNEL_BOUND,
	FeatureIOV:          C.NEGO_HAS_IOV,
	FeatureMICIOV:       C.NEGO_HAS_MIC_IOV,
	FeatureAEAD:         C.NEGO_HAS_AEAD,
	FeaturePRF:          C.NEGO_HAS_PRF,
	FeatureProcessToken: C.NEGO_HAS_PROCESS,
	FeatureLucid:        C.NEGO_HAS_LUCID,
}

func available(f Feature) bool { return f >= 0 && int(f) < len(has) && has[f] != 0 }
