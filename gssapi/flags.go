package gssapi

import "strings"

// Flags are the services of a context: in Options what the initiator asks for, in Info what it got
// (RFC 2744 section 5.19, the req_flags and ret_flags of gss_init_sec_context).
type Flags uint32

const (
	FlagDelegate       Flags = 1 << 0  // GSS_C_DELEG_FLAG: hand the ticket on to the acceptor
	FlagMutual         Flags = 1 << 1  // GSS_C_MUTUAL_FLAG: the acceptor proves itself
	FlagReplay         Flags = 1 << 2  // GSS_C_REPLAY_FLAG: detect replayed messages
	FlagSequence       Flags = 1 << 3  // GSS_C_SEQUENCE_FLAG: detect messages out of order
	FlagConfidential   Flags = 1 << 4  // GSS_C_CONF_FLAG: Wrap can encrypt
	FlagIntegrity      Flags = 1 << 5  // GSS_C_INTEG_FLAG: Wrap and MIC protect
	FlagAnonymous      Flags = 1 << 6  // GSS_C_ANON_FLAG: the initiator stays unnamed
	FlagProtReady      Flags = 1 << 7  // GSS_C_PROT_READY_FLAG: messages work before the last leg
	FlagTransferable   Flags = 1 << 8  // GSS_C_TRANS_FLAG: Export works
	FlagChannelBound   Flags = 1 << 11 // GSS_C_CHANNEL_BOUND_FLAG: an acceptor saw matching bindings
	FlagDCEStyle       Flags = 1 << 12 // GSS_C_DCE_STYLE: a third leg, for DCE RPC
	FlagIdentify       Flags = 1 << 13 // GSS_C_IDENTIFY_FLAG: the acceptor may look, not act
	FlagExtendedError  Flags = 1 << 14 // GSS_C_EXTENDED_ERROR_FLAG
	FlagDelegatePolicy Flags = 1 << 15 // GSS_C_DELEG_POLICY_FLAG: delegate where the KDC says ok-as-delegate (RFC 5896)
)

var flagNames = [...]string{0: "delegate", 1: "mutual", 2: "replay", 3: "sequence", 4: "confidential", 5: "integrity",
	6: "anonymous", 7: "prot-ready", 8: "transferable", 11: "channel-bound", 12: "dce-style", 13: "identify",
	14: "extended-error", 15: "delegate-policy"}

// String lists the flags by name, separated by commas.
func (f Flags) String() string {
	var l []string
	for i, name := range flagNames {
		if name != "" && f&(1<<i) != 0 {
			l = append(l, name)
		}
	}
	return strings.Join(l, ",")
}
