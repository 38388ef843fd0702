package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// benchFlags are those that bench, paced and first-ack share.
type benchFlags struct {
	*flag.FlagSet
	bootstrap, topic          *string
	partitions, replicas, isr *int
	security                  securityFlags
}

func newBenchFlags(name string) benchFlags {
	f := flag.NewFlagSet(name, flag.ExitOnError)
	return benchFlags{
		f,
		f.String("bootstrap", "localhost:9092", "bootstrap servers"),
		f.String("topic", "bench", "topic, created when missing"),
		f.Int("partitions", 6, "partitions of the topic"),
		f.Int("replicas", 3, "replication factor of the topic"),
		f.Int("min-isr", 2, "min.insync.replicas of the topic"),
		newSecurityFlags(f),
	}
}

// client makes a client with these options besides those that all clients have.
func (b benchFlags) client(opts ...kgo.Opt) (*kgo.Client, error) {
	secured, err := b.security.options()
	if err != nil {
		return nil, err
	}
	return kgo.NewClient(slices.Concat(clientOptions(*b.bootstrap), secured, opts)...)
}

func (b benchFlags) createTopic(ctx context.Context, client *kgo.Client) error {
	isr := strconv.Itoa(*b.isr)
	configs := map[string]*string{"min.insync.replicas": &isr}
	_, err := kadm.NewClient(client).
		CreateTopic(ctx, int32(*b.partitions), int16(*b.replicas), configs, *b.topic)
	if errors.Is(err, kerr.TopicAlreadyExists) {
		return nil
	}
	return err
}

// payload makes values that do not compress, all cut from one buffer so that making them costs next to nothing.
func payload(size int) func() []byte {
	pool := make([]byte, 4<<20)
	rand.New(rand.NewSource(1)).Read(pool)
	at := 0
	return func() []byte {
		if at += 61; at+size > len(pool) {
			at = 0
		}
		return pool[at : at+size : at+size]
	}
}

func bench(args []string) error {
	b := newBenchFlags("bench")
	total := b.Int64("bytes", 2_000_000_000, "bytes of values to produce")
	size := b.Int("value", 1024, "bytes of a value")
	transaction := b.Duration("transaction", 0, "commit a transaction each time that this long has passed; 0 for none")
	b.Parse(args)
	options := []kgo.Opt{
		kgo.DefaultProduceTopic(*b.topic),
		kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.MaxBufferedRecords(65_536),
		kgo.RecordPartitioner(kgo.UniformBytesPartitioner(512<<10, true, true, nil)),
	}
	if *transaction > 0 {
		options = append(options, kgo.TransactionalID(*b.topic))
	}
	client, err := b.client(options...)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx := context.Background()
	if err := b.createTopic(ctx, client); err != nil {
		return err
	}
	value := payload(*size)
	var failed atomic.Pointer[error]
	done := func(_ *kgo.Record, err error) {
		if err != nil {
			failed.CompareAndSwap(nil, &err)
		}
	}
	records := *total / int64(*size)
	var commits []time.Duration
	started := time.Now()
	begun := started
	if *transaction > 0 {
		if err := client.BeginTransaction(); err != nil {
			return err
		}
	}
	for range records {
		client.Produce(ctx, &kgo.Record{Value: value()}, done)
		if failed.Load() != nil {
			break
		}
		if *transaction > 0 && time.Since(begun) >= *transaction {
			took, err := commit(ctx, client)
			if err != nil {
				return err
			}
			commits = append(commits, took)
			begun = time.Now()
			if err := client.BeginTransaction(); err != nil {
				return err
			}
		}
	}
	if err := client.Flush(ctx); err != nil {
		return err
	}
	if err := failed.Load(); err != nil {
		return *err
	}
	if *transaction > 0 {
		if _, err := commit(ctx, client); err != nil {
			return err
		}
	}
	elapsed := time.Since(started).Seconds()
	bytes := records * int64(*size)
	fmt.Printf("records=%d bytes=%d seconds=%.3f mb_per_s=%.1f", records, bytes, elapsed,
		float64(bytes)/1e6/elapsed)
	if len(commits) > 0 {
		at := percentiles(commits)
		fmt.Printf(" commits=%d commit_p50_ms=%.2f commit_p99_ms=%.2f", len(commits), at(0.5), at(0.99))
	}
	fmt.Println()
	return nil
}

// commit flushes what was produced, then commits the transaction, and returns how long the commit alone took.
func commit(ctx context.Context, client *kgo.Client) (time.Duration, error) {
	if err := client.Flush(ctx); err != nil {
		return 0, err
	}
	started := time.Now()
	err := client.EndTransaction(ctx, kgo.TryCommit)
	return time.Since(started), err
}

// percentiles sorts the latencies, and returns a function from a quantile to milliseconds.
func percentiles(latencies []time.Duration) func(q float64) float64 {
	slices.Sort(latencies)
	return func(q float64) float64 {
		index := min(int(q*float64(len(latencies))), len(latencies)-1)
		return float64(latencies[index].Microseconds()) / 1000
	}
}

func paced(args []string) error {
	b := newBenchFlags("paced")
	rate := b.Float64("rate", 5e6, "bytes of values a second")
	size := b.Int("value", 1024, "bytes of a value")
	length := b.Duration("for", 20*time.Second, "how long to measure")
	warmUp := b.Duration("warm-up", 3*time.Second, "how long to produce before measuring")
	b.Parse(args)
	client, err := b.client(
		kgo.DefaultProduceTopic(*b.topic),
		kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.ProducerLinger(0),
		kgo.MaxBufferedRecords(1_000_000),
		kgo.RecordPartitioner(kgo.RoundRobinPartitioner()),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx := context.Background()
	if err := b.createTopic(ctx, client); err != nil {
		return err
	}
	value := payload(*size)
	interval := time.Duration(float64(*size) / *rate * float64(time.Second))
	var lock sync.Mutex
	var latencies []time.Duration
	var firstErr error
	started := time.Now()
	measure := started.Add(*warmUp)
	for at := started; at.Before(measure.Add(*length)); at = at.Add(interval) {
		if wait := time.Until(at); wait > 0 {
			time.Sleep(wait)
		}
		due := at
		client.Produce(ctx, &kgo.Record{Value: value()}, func(_ *kgo.Record, err error) {
			latency := time.Since(due)
			lock.Lock()
			defer lock.Unlock()
			if err != nil && firstErr == nil {
				firstErr = err
			}
			if due.After(measure) {
				latencies = append(latencies, latency)
			}
		})
	}
	if err := client.Flush(ctx); err != nil {
		return err
	}
	if firstErr != nil {
		return firstErr
	}
	at := percentiles(latencies)
	fmt.Printf("records=%d p50_ms=%.2f p99_ms=%.2f p999_ms=%.2f max_ms=%.2f\n", len(latencies), at(0.5),
		at(0.99), at(0.999), at(1))
	return nil
}

// connections opens connections, several at a time; each authenticates, and asks for the metadata once.
func connections(args []string) error {
	b := newBenchFlags("connections")
	length := b.Duration("for", 10*time.Second, "how long to measure")
	together := b.Int("together", 4, "connections that open at a time")
	b.Parse(args)
	var opened atomic.Int64
	var group sync.WaitGroup
	failed := make(chan error, *together)
	started := time.Now()
	for range *together {
		group.Add(1)
		go func() {
			defer group.Done()
			for time.Since(started) < *length {
				if err := b.connect(); err != nil {
					failed <- err
					return
				}
				opened.Add(1)
			}
		}()
	}
	group.Wait()
	select {
	case err := <-failed:
		return err
	default:
	}
	elapsed := time.Since(started).Seconds()
	fmt.Printf("connections=%d per_s=%.0f\n", opened.Load(), float64(opened.Load())/elapsed)
	return nil
}

func (b benchFlags) connect() error {
	client, err := b.client()
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return client.Ping(ctx)
}

func firstAck(args []string) error {
	b := newBenchFlags("first-ack")
	since := b.Int64("since-ms", time.Now().UnixMilli(), "count from this moment, milliseconds since 1970")
	timeout := b.Duration("timeout", time.Minute, "give up after this long")
	b.Parse(args)
	ctx, cancel := context.WithTimeout(context.Background(), *timeout)
	defer cancel()
	every := 10 * time.Millisecond
	for !listening(*b.bootstrap) {
		select {
		case <-ctx.Done():
			return fmt.Errorf("nothing listens on %s", *b.bootstrap)
		case <-time.After(every):
		}
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(*b.bootstrap, ",")...),
		kgo.DefaultProduceTopic(*b.topic),
		kgo.MetadataMinAge(every),
		kgo.RetryBackoffFn(func(int) time.Duration { return every }),
		kgo.RequestRetries(1_000_000),
		kgo.UnknownTopicRetries(1_000_000),
		kgo.ProducerLinger(0),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	for err = b.createTopic(ctx, client); err != nil; err = b.createTopic(ctx, client) {
		select {
		case <-ctx.Done():
			return fmt.Errorf("create topic: %w", err)
		case <-time.After(every):
		}
	}
	created := time.Now().UnixMilli() - *since
	if err := client.ProduceSync(ctx, kgo.StringRecord("first")).FirstErr(); err != nil {
		return err
	}
	fmt.Printf("topic_ms=%d first_ack_ms=%d\n", created, time.Now().UnixMilli()-*since)
	return nil
}

func listening(bootstrap string) bool {
	for _, address := range strings.Split(bootstrap, ",") {
		if c, err := net.DialTimeout("tcp", address, time.Second); err == nil {
			c.Close()
			return true
		}
	}
	return false
}
