package main

import (
	"flag"
	"fmt"
	"math/bits"
)

// Digest sums up a set of records: how many there are, which they are whatever their order, and the order of the
// records of each key. The harness (tests/src/digest.rs) and the Java client compute the same.
type Digest struct {
	Count, Bytes, sum uint64
	chains            map[string]uint64
}

const (
	fnvOffset = 0xcbf29ce484222325
	fnvPrime  = 0x100000001b3
)

func newDigest() *Digest { return &Digest{chains: make(map[string]uint64)} }

func fnv(h uint64, b []byte) uint64 {
	for _, c := range b {
		h = (h ^ uint64(c)) * fnvPrime
	}
	return h
}

// mix is the finalizer of splitmix64.
func mix(h uint64) uint64 {
	h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9
	h = (h ^ (h >> 27)) * 0x94d049bb133111eb
	return h ^ (h >> 31)
}

func (d *Digest) add(key, value []byte) {
	h := mix(fnv(fnv(fnv(fnvOffset, key), []byte{0}), value))
	d.Count++
	d.Bytes += uint64(len(value))
	d.sum += h
	chain, seen := d.chains[string(key)]
	if !seen {
		chain = fnv(fnvOffset, key)
	}
	d.chains[string(key)] = bits.RotateLeft64(chain, 5)*fnvPrime + h
}

func (d *Digest) String() string {
	var order uint64
	for _, c := range d.chains {
		order += mix(c)
	}
	return fmt.Sprintf("count=%d bytes=%d sum=%016x order=%016x", d.Count, d.Bytes, d.sum, order)
}

func digestFile(args []string) error {
	f := flag.NewFlagSet("digest", flag.ExitOnError)
	file := f.String("file", "", "the corpus")
	keys := f.Int("keys", defaultKeys, "number of keys")
	f.Parse(args)
	d := newDigest()
	if err := eachLine(*file, *keys, func(k, v []byte) error { d.add(k, v); return nil }); err != nil {
		return err
	}
	fmt.Println(d)
	return nil
}
