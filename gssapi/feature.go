package gssapi

// Feature is something that not every library has, so that a program can ask before it needs it.
type Feature int

const (
	FeatureStore        Feature = iota // all keys of Store in CredentialOptions
	FeatureStoreInto                   // Credential.StoreInto
	FeatureImpersonate                 // Credential.Impersonate
	FeatureAttributes                  // SecContext.Attributes
	FeatureChannelBound                // FlagChannelBound tells an acceptor that the bindings match; MIT krb5 since 1.19
	FeatureIOV                         // SecContext.WrapIOV and UnwrapIOV
	FeatureMICIOV                      // SecContext.MICIOV and VerifyMICIOV
	FeatureAEAD                        // SecContext.WrapAEAD and UnwrapAEAD
	FeaturePRF                         // SecContext.PRF
	FeatureProcessToken                // SecContext.ProcessToken
	FeatureLucid                       // SecContext.ExportLucid
)

// Available reports whether the library that the program was built for has it. Where it has not, the calls return
// [ErrUnavailable], and FlagChannelBound is never set. It makes no call of the library. A mechanism may lack what its
// library has, which the call itself tells: a plug-in for NTLM knows nothing of tickets.
func (f Feature) Available() bool { return available(f) }
