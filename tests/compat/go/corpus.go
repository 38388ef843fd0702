package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const defaultKeys = 10007

// eachLine calls fn with every line of a file and its key: the line's number modulo the number of keys.
func eachLine(path string, keys int, fn func(key, value []byte) error) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(make([]byte, 1<<20), 1<<20)
	for n := 0; lines.Scan(); n++ {
		value := append([]byte(nil), lines.Bytes()...)
		if err := fn(fmt.Appendf(nil, "key-%05d", n%keys), value); err != nil {
			return err
		}
	}
	return lines.Err()
}

func produce(args []string) error {
	f := flag.NewFlagSet("produce", flag.ExitOnError)
	bootstrap := f.String("bootstrap", "localhost:9092", "bootstrap servers")
	topic := f.String("topic", "", "topic")
	file := f.String("file", "", "the corpus, one record a line")
	keys := f.Int("keys", defaultKeys, "number of keys")
	codecName := f.String("codec", "none", "none, gzip, snappy, lz4 or zstd")
	acksName := f.String("acks", "all", "0, 1 or all")
	idempotent := f.Bool("idempotent", true, "idempotent producer; needs acks=all")
	progress := f.Int64("progress", 0, "print `acked N` each time this many records are acknowledged")
	timeout := f.Duration("timeout", 2*time.Minute, "how long a record may take to be acknowledged")
	f.Parse(args)

	compression, err := codec(*codecName)
	if err != nil {
		return err
	}
	required, err := acks(*acksName)
	if err != nil {
		return err
	}
	opts := append(clientOptions(*bootstrap),
		kgo.DefaultProduceTopic(*topic),
		kgo.ProducerBatchCompression(compression),
		kgo.RequiredAcks(required),
		kgo.RecordDeliveryTimeout(*timeout),
		kgo.MaxBufferedRecords(100_000),
	)
	if !*idempotent || *acksName != "all" {
		opts = append(opts, kgo.DisableIdempotentWrite())
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return err
	}
	defer client.Close()

	ctx := context.Background()
	var acked, failed atomic.Int64
	var once sync.Once
	var firstErr error
	started := time.Now()
	err = eachLine(*file, *keys, func(key, value []byte) error {
		client.Produce(ctx, &kgo.Record{Key: key, Value: value}, func(_ *kgo.Record, err error) {
			if err != nil {
				failed.Add(1)
				once.Do(func() { firstErr = err })
				return
			}
			if n := acked.Add(1); *progress > 0 && n%*progress == 0 {
				fmt.Printf("acked %d\n", n)
			}
		})
		if failed.Load() > 0 {
			return errors.New("a record failed")
		}
		return nil
	})
	if flushErr := client.Flush(ctx); err == nil {
		err = flushErr
	}
	if firstErr != nil {
		err = firstErr
	}
	fmt.Printf("produced acked=%d failed=%d ms=%d\n", acked.Load(), failed.Load(),
		time.Since(started).Milliseconds())
	return err
}

func consume(args []string) error {
	f := flag.NewFlagSet("consume", flag.ExitOnError)
	bootstrap := f.String("bootstrap", "localhost:9092", "bootstrap servers")
	topic := f.String("topic", "", "topic")
	timeout := f.Duration("timeout", 5*time.Minute, "how long it may take")
	f.Parse(args)

	ctx, cancel := context.WithTimeout(context.Background(), *timeout)
	defer cancel()
	client, err := kgo.NewClient(append(clientOptions(*bootstrap), kgo.FetchMaxBytes(64<<20))...)
	if err != nil {
		return err
	}
	defer client.Close()
	ends, starts, err := offsets(ctx, client, *topic)
	if err != nil {
		return err
	}
	from := make(map[int32]kgo.Offset)
	left := make(map[int32]int64)
	for partition, end := range ends {
		if end > starts[partition] {
			from[partition] = kgo.NewOffset().At(starts[partition])
			left[partition] = end
		}
	}
	client.AddConsumePartitions(map[string]map[int32]kgo.Offset{*topic: from})

	digest := newDigest()
	next := make(map[int32]int64)
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		for _, e := range fetches.Errors() {
			return fmt.Errorf("partition %d: %w", e.Partition, e.Err)
		}
		var bad error
		fetches.EachRecord(func(r *kgo.Record) {
			if want := max(next[r.Partition], starts[r.Partition]); r.Offset != want && bad == nil {
				bad = fmt.Errorf("partition %d: offset %d after %d", r.Partition, r.Offset, want-1)
			}
			next[r.Partition] = r.Offset + 1
			digest.add(r.Key, r.Value)
			if next[r.Partition] >= left[r.Partition] {
				delete(left, r.Partition)
			}
		})
		if bad != nil {
			return bad
		}
	}
	fmt.Println(digest)
	return nil
}

// offsets returns the end and the start offset of every partition of a topic.
func offsets(ctx context.Context, c *kgo.Client, topic string) (ends, starts map[int32]int64, err error) {
	list := func(fn func(context.Context, ...string) (kadm.ListedOffsets, error)) (map[int32]int64, error) {
		listed, err := fn(ctx, topic)
		if err == nil {
			err = listed.Error()
		}
		if err != nil {
			return nil, err
		}
		found := make(map[int32]int64)
		listed.Each(func(o kadm.ListedOffset) { found[o.Partition] = o.Offset })
		return found, nil
	}
	admin := kadm.NewClient(c)
	if ends, err = list(admin.ListEndOffsets); err != nil {
		return nil, nil, fmt.Errorf("list end offsets: %w", err)
	}
	if starts, err = list(admin.ListStartOffsets); err != nil {
		return nil, nil, fmt.Errorf("list start offsets: %w", err)
	}
	return ends, starts, nil
}
