package gssapi

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"testing"
)

// Mirrors test_prf of MIT's t_gssexts.c.
func TestPRF(t *testing.T) {
	for _, mech := range []OID{KRB5, SPNEGO} {
		i, a := pair(t, &Options{Mech: mech, Flags: FlagMutual}, nil)
		seen := map[string]bool{}
		for _, key := range []PRFKey{PRFFull, PRFPartial} {
			for _, in := range []string{"", "gss prf test", "gss prf tesT"} {
				mine, err := i.PRF(key, []byte(in), 19)
				if err != nil || len(mine) != 19 {
					t.Fatalf("%x, %v", mine, err)
				}
				if peer, err := a.PRF(key, []byte(in), 19); err != nil || !bytes.Equal(mine, peer) {
					t.Errorf("%v, key %d: %x and %x, %v", mech, key, mine, peer, err)
				}
				if more, err := a.PRF(key, []byte(in), 100); err != nil || len(more) != 100 || !bytes.HasPrefix(more, mine) {
					t.Errorf("%v, key %d: %x does not begin with %x, %v", mech, key, more, mine, err)
				}
				if seen[string(mine)] {
					t.Errorf("%v, key %d, %q: the same as another", mech, key, in)
				}
				seen[string(mine)] = true
				if none, err := a.PRF(key, []byte(in), 0); err != nil || len(none) != 0 {
					t.Errorf("no bytes: %x, %v", none, err)
				}
			}
		}
		tooMany := int64(math.MaxInt32) + 1 // as an int of 32 bits it is negative
		for _, n := range []int{-1, int(tooMany)} {
			if _, err := i.PRF(PRFFull, nil, n); !errors.Is(err, ErrFailure) {
				t.Errorf("%d bytes: %v", n, err)
			}
		}
		if _, err := i.PRF(PRFKey(2), nil, 1); !errors.Is(err, ErrFailure) {
			t.Errorf("a key that is none: %v", err)
		}
	}
}

// The vectors of MIT's t_prf.c, for the encryption types that Kerberos has by default: key and result of the initiator's
// subkey and no input, and of the acceptor's and this input.
const prfInput = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz123456789"

var prfVectors = []struct {
	enctype                  uint32
	initiator, none          string
	acceptor, ofPRFInputFull string
}{
	{17, "6C742096EB896230312B73972FA28B5D",
		"94208D982FC1BB7778128BDD77904420B45C9DA699F3117BCE66E39602128EF0296611A6D191A5828530F20F",
		"FA61138C109D834A477D24C7311BE6DA",
		"0FAEDF0F842CC834FEE750487E1B622739286B975FE5B7F45AB053143C75CA0DF5D3D4BBB80F6A616C7C9027"},
	{18, "08FCDAFD5832611B73BA7B497FEBFF8C954B4B58031CAD9B977C3B8C25192FD6",
		"E627EFC14EF5B6D629F830C7109DEA0D3D7D36E8CD57A1F301C5452494A1928F05AFFBEE3360232209D3BE0D",
		"F5B68B7823D8944F33F41541B4E4D38C9B2934F8D16334A796645B066152B4BE",
		"112F2B2D878590653CCC7DE278E9F0AA46FA5A380B6259F774CB7C134FCD37F61A50FD0D9F89BF8FE1A6B593"},
	{19, "089BCA48B105EA6EA77CA5D2F39DC5E7",
		"ED1736209B7C59C9F6A3AE8CCC8A7C97ADFDD11688ADF304F2F74252CBACD311A2D9253211FDA49745CE4F62",
		"3705D96080C17728A0E800EAB6E0D23C",
		"2BB41B183D76D8D5B30CBB049A7EFE9F350EFA058DC2C4D868308D354A7B199BE6FD1F22B53C038BC6036581"},
	{20, "45BD806DBF6A833A9CFFC1C94589A222367A79BC21C413718906E9F578A78467",
		"1C613AE8B77A3B4D783F3DCE6C9178FC025E87F48A44784A69CB5FC697FE266A6141905067EF78566D309085",
		"6D404D37FAF79F9DF0D33568D320669800EB4836472EA8A026D16B7182460C52",
		"D15944B0A44508D1E61213F6455F292A02298F870C01A3F74AD0345A4A6651EBE101976E933F32D44F0B5947"},
}

// Mirrors t_prf.c of MIT. Where that makes a context by hand, here the keys of a real one are changed on its way from
// ExportLucid's to ImportSecContext.
func TestPRFVectors(t *testing.T) {
	for _, tc := range prfVectors {
		_, a := pair(t, &Options{Mech: KRB5, Flags: FlagMutual}, nil)
		exported, err := a.Export()
		if err != nil {
			t.Fatal(err)
		}
		c, err := ImportSecContext(exported)
		if err != nil {
			t.Fatal(err)
		}
		keys, err := c.ExportLucid()
		if err != nil {
			t.Fatal(err)
		}
		if heimdal { // whose Key is the acceptor's subkey as well; the initiator's is the last one in the token
			at := bytes.LastIndex(exported, packedKey(18, make([]byte, 32))[:6])
			keys.Key.Data = bytes.Clone(exported[at+6 : at+6+32])
		}
		for _, change := range []struct {
			from LucidKey
			to   string
		}{{keys.Key, tc.initiator}, {keys.AcceptorSubkey, tc.acceptor}} {
			to, err := hex.DecodeString(change.to)
			if err != nil {
				t.Fatal(err)
			}
			old := packedKey(uint32(change.from.Enctype), change.from.Data)
			if !bytes.Contains(exported, old) {
				t.Fatalf("no key of %v in the exported context", change.from)
			}
			exported = bytes.ReplaceAll(exported, old, packedKey(tc.enctype, to))
		}
		if c, err = ImportSecContext(exported); err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for _, of := range []struct {
			key  PRFKey
			in   string
			want string
		}{{PRFPartial, "", tc.none}, {PRFFull, prfInput, tc.ofPRFInputFull}} {
			want, err := hex.DecodeString(of.want)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := c.PRF(of.key, []byte(of.in), len(want)); err != nil || !bytes.Equal(got, want) {
				t.Errorf("enctype %d, %q: %x, want %x, %v", tc.enctype, of.in, got, want, err)
			}
		}
	}
}

// packedKey is a key as the library exports it: its type, its length and its bytes.
func packedKey(enctype uint32, key []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, enctype)
	if heimdal {
		b = b[2:]
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(key)))
	return append(b, key...)
}
