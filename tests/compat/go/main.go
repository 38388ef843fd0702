// The franz-go side of Dohle's cluster tests: it produces and consumes a corpus, compares by digest, and measures.
// Every subcommand prints its result to standard output; standard error holds only the client's warnings and errors,
// so that a test can assert that it is empty.
package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

type command struct {
	name string
	help string
	run  func(args []string) error
}

var commands = []command{
	{"produce", "produce a corpus file, one record a line", produce},
	{"consume", "consume a topic from its start to its end and print its digest", consume},
	{"digest", "print the digest a corpus file must have once consumed", digestFile},
	{"admin", "create, describe, alter and delete a topic", admin},
	{"group", "be a member of a group", group},
	{"secure", "produce and consume on a listener that authenticates", secure},
	{"transactional", "copy records in transactions, step by step", transactional},
	{"bench", "produce as fast as possible and print the throughput", bench},
	{"paced", "produce at a fixed rate and print the latencies", paced},
	{"connections", "open connections for some time and print how many", connections},
	{"first-ack", "wait for the first acknowledged record and print how long it took", firstAck},
}

func main() {
	if len(os.Args) > 1 {
		for _, c := range commands {
			if c.name == os.Args[1] {
				if err := c.run(os.Args[2:]); err != nil {
					fmt.Fprintln(os.Stderr, "error:", err)
					os.Exit(1)
				}
				return
			}
		}
	}
	fmt.Fprintln(os.Stderr, "usage: franz-go COMMAND [FLAGS]")
	for _, c := range commands {
		fmt.Fprintf(os.Stderr, "  %-13s %s\n", c.name, c.help)
	}
	os.Exit(2)
}

// clientOptions are what every subcommand's client has.
func clientOptions(bootstrap string) []kgo.Opt {
	return []kgo.Opt{
		kgo.SeedBrokers(strings.Split(bootstrap, ",")...),
		kgo.ClientID("dohle-compat-franz-go"),
		kgo.WithLogger(kgo.BasicLogger(os.Stderr, kgo.LogLevelWarn, nil)),
		kgo.RetryTimeout(2 * time.Minute),
		kgo.MetadataMinAge(100 * time.Millisecond),
	}
}

func codec(name string) (kgo.CompressionCodec, error) {
	switch name {
	case "none":
		return kgo.NoCompression(), nil
	case "gzip":
		return kgo.GzipCompression(), nil
	case "snappy":
		return kgo.SnappyCompression(), nil
	case "lz4":
		return kgo.Lz4Compression(), nil
	case "zstd":
		return kgo.ZstdCompression(), nil
	}
	return kgo.CompressionCodec{}, fmt.Errorf("unknown codec %q", name)
}

func acks(name string) (kgo.Acks, error) {
	switch name {
	case "all", "-1":
		return kgo.AllISRAcks(), nil
	case "1":
		return kgo.LeaderAck(), nil
	case "0":
		return kgo.NoAck(), nil
	}
	return kgo.Acks{}, fmt.Errorf("unknown acks %q", name)
}
