package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// copier is a transactional loop with a session of franz-go, which sends offsets as a part of the commit.
type copier struct {
	session *kgo.GroupTransactSession
	options []kgo.Opt
	target  string
	count   int
	read    []*kgo.Record
	ending  *ending
}

// ending is a commit under way: the session commits the offsets, says so, and waits before it ends the transaction.
type ending struct {
	offsets   chan struct{}
	released  chan struct{}
	done      chan struct{}
	committed bool
	err       error
}

// pausing is a logger that stops the commit of a session between its offsets and the end of its transaction.
type pausing struct {
	kgo.Logger
	copier *copier
}

func (p pausing) Level() kgo.LogLevel { return kgo.LogLevelInfo }

func (p pausing) Log(level kgo.LogLevel, message string, pairs ...any) {
	if end := p.copier.ending; message == "transaction session ending" && end != nil {
		select {
		case <-end.offsets:
		default:
			close(end.offsets)
		}
		<-end.released
	}
	if level <= kgo.LogLevelWarn {
		p.Logger.Log(level, message, pairs...)
	}
}

// transactional copies records in transactions, one step for each line of standard input. The steps and the answers are
// described in tests/src/clients/transactional.rs.
func transactional(args []string) error {
	flags := flag.NewFlagSet("transactional", flag.ExitOnError)
	bootstrap := flags.String("bootstrap", "", "bootstrap servers")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 4 {
		return errors.New("needs SOURCE TARGET GROUP TRANSACTIONAL_ID")
	}
	c := &copier{target: flags.Arg(1)}
	c.options = append(clientOptions(*bootstrap),
		kgo.WithLogger(pausing{kgo.BasicLogger(os.Stderr, kgo.LogLevelWarn, nil), c}),
		kgo.ConsumeTopics(flags.Arg(0)),
		kgo.ConsumerGroup(flags.Arg(2)),
		kgo.TransactionalID(flags.Arg(3)),
		kgo.TransactionTimeout(time.Minute),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.RequireStableFetchOffsets(),
		kgo.SessionTimeout(6*time.Second),
		kgo.HeartbeatInterval(500*time.Millisecond),
		kgo.RebalanceTimeout(6*time.Second),
		kgo.FetchMaxWait(100*time.Millisecond),
	)
	input := bufio.NewScanner(os.Stdin)
	for input.Scan() {
		words := strings.Fields(input.Text())
		if err := c.step(words); err != nil {
			fmt.Println("failed", words[0], strings.ReplaceAll(err.Error(), "\n", " "))
		} else {
			fmt.Println("ok", words[0])
		}
	}
	if c.session != nil {
		c.session.Close()
	}
	return input.Err()
}

func (c *copier) step(words []string) error {
	ctx := context.Background()
	switch words[0] {
	case "init":
		session, err := kgo.NewGroupTransactSession(c.options...)
		if err != nil {
			return err
		}
		c.session = session
		return c.producerID(ctx)
	case "begin":
		return c.session.Begin()
	case "read":
		count, err := strconv.Atoi(words[1])
		if err != nil {
			return err
		}
		c.count = count
		return c.poll(ctx)
	case "write":
		return c.write(ctx)
	case "offsets":
		c.beginCommit(ctx)
		select {
		case <-c.ending.offsets:
		case <-c.ending.done:
		}
		return nil
	case "commit":
		return c.commit(ctx)
	case "abort":
		_, err := c.session.End(ctx, kgo.TryAbort)
		return err
	}
	return fmt.Errorf("unknown step %q", words[0])
}

// producerID waits for a producer id. The client returns an error while the coordinator ends the transaction of another
// program, or cannot be reached; its user asks again.
func (c *copier) producerID(ctx context.Context) error {
	for {
		_, _, err := c.session.Client().ProducerID(ctx)
		var unreachable *net.OpError
		if !errors.Is(err, kerr.ConcurrentTransactions) && !kerr.IsRetriable(err) && !errors.As(err, &unreachable) {
			return err
		}
		<-time.After(100 * time.Millisecond)
	}
}

// poll takes the next records. More than that are never polled, since a session commits what it has polled.
func (c *copier) poll(ctx context.Context) error {
	c.read = nil
	for len(c.read) < c.count {
		fetches := c.session.PollRecords(ctx, c.count-len(c.read))
		c.read = append(c.read, fetches.Records()...)
	}
	return nil
}

func (c *copier) write(ctx context.Context) error {
	var copies []*kgo.Record
	for _, r := range c.read {
		copies = append(copies, &kgo.Record{Topic: c.target, Key: r.Key, Value: append([]byte("copy of "), r.Value...)})
	}
	return c.session.ProduceSync(ctx, copies...).FirstErr()
}

func (c *copier) beginCommit(ctx context.Context) {
	end := &ending{offsets: make(chan struct{}), released: make(chan struct{}), done: make(chan struct{})}
	c.ending = end
	go func() {
		end.committed, end.err = c.session.End(ctx, kgo.TryCommit)
		close(end.done)
	}()
}

// commit ends the transaction. A session that lost its group meanwhile aborts instead and goes back to the committed
// offsets: then the same work is done again in another transaction.
func (c *copier) commit(ctx context.Context) error {
	if c.ending == nil {
		c.beginCommit(ctx)
	}
	for {
		end := c.ending
		close(end.released)
		<-end.done
		if end.committed || end.err != nil {
			c.ending = nil
			return end.err
		}
		fmt.Println("aborted; once more")
		if err := c.session.Begin(); err != nil {
			return err
		}
		if err := c.poll(ctx); err != nil {
			return err
		}
		if err := c.write(ctx); err != nil {
			return err
		}
		c.beginCommit(ctx)
	}
}
