//go:build !linux

package negotiate

func localFiles() []string { return nil }
