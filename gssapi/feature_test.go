//go:build cgo && unix

package gssapi

import (
	"errors"
	"path/filepath"
	"testing"
)

// A feature is available exactly where its call works, and where it is not, the call says so.
func TestFeatures(t *testing.T) {
	ctx := t.Context()
	i, a := pair(t, &Options{Mech: KRB5, Flags: FlagMutual, ChannelBinding: &ChannelBinding{Data: []byte("binding")}},
		&Options{ChannelBinding: &ChannelBinding{Data: []byte("binding")}})
	token, err := i.WrapAEAD(nil, []byte("x"), true)
	if err != nil && FeatureAEAD.Available() {
		t.Fatal(err)
	}
	for f, call := range map[Feature]func() error{
		FeatureStore: func() error {
			c, err := Acquire(ctx, &CredentialOptions{Usage: Accept, Store: Store{RCache: "none:"}})
			c.Close()
			return err
		},
		FeatureStoreInto: func() error {
			return newTicket(t, "alice").StoreInto(ctx, Store{CCache: "FILE:" + filepath.Join(t.TempDir(), "cc")}, true)
		},
		FeatureImpersonate: func() error {
			c, err := newServiceCredential(t, Initiate).Impersonate(ctx, User("bob"))
			c.Close()
			return err
		},
		FeatureAttributes: func() error { _, err := a.Attributes(ctx); return err },
		FeatureChannelBound: func() error {
			if a.Info().Flags&FlagChannelBound == 0 {
				return ErrUnavailable
			}
			return nil
		},
		FeatureIOV: func() error {
			_, err := a.WrapIOV([]IOV{{IOVHeader, nil}, {IOVData, []byte("x")}, {IOVTrailer, nil}}, true)
			return err
		},
		FeatureMICIOV: func() error {
			_, err := a.MICIOV([]IOV{{IOVData, []byte("x")}, {IOVMICToken, nil}})
			return err
		},
		FeatureAEAD: func() error {
			if err != nil {
				return err
			}
			_, _, err := a.UnwrapAEAD(nil, token)
			return err
		},
		FeaturePRF: func() error { _, err := a.PRF(PRFFull, nil, 1); return err },
		FeatureProcessToken: func() error {
			if err := a.ProcessToken([]byte("x")); !errors.Is(err, ErrDefectiveToken) {
				return err
			}
			return nil
		},
		FeatureLucid: func() error {
			i, _ := pair(t, &Options{Mech: KRB5}, nil)
			_, err := i.ExportLucid()
			return err
		},
	} {
		err := call()
		if f.Available() != (err == nil) || !f.Available() && !errors.Is(err, ErrUnavailable) {
			t.Errorf("feature %d: available %v: %v", f, f.Available(), err)
		}
	}
	for _, none := range []Feature{-1, FeatureLucid + 1, 1 << 40} {
		if none.Available() {
			t.Errorf("feature %d is available", none)
		}
	}
}
