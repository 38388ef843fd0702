package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// owned prints the partitions of a member as they come and go.
type owned struct {
	mu         sync.Mutex
	partitions map[int32]bool
}

func (o *owned) change(changed map[string][]int32, is bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, partitions := range changed {
		for _, p := range partitions {
			if is {
				o.partitions[p] = true
			} else {
				delete(o.partitions, p)
			}
		}
	}
	var now []int
	for p := range o.partitions {
		now = append(now, int(p))
	}
	slices.Sort(now)
	words := make([]string, len(now))
	for i, p := range now {
		words[i] = strconv.Itoa(p)
	}
	fmt.Println("assigned", strings.Join(words, ","))
}

// group is a member of a group. What it prints is described in tests/src/clients/member.rs; SIGINT makes it leave.
func group(args []string) error {
	flags := flag.NewFlagSet("group", flag.ExitOnError)
	bootstrap := flags.String("bootstrap", "", "bootstrap servers")
	topic := flags.String("topic", "", "topic")
	name := flags.String("group", "", "group.id")
	balancer := flags.String("balancer", "cooperative-sticky", "cooperative-sticky, range or round-robin")
	if err := flags.Parse(args); err != nil {
		return err
	}
	balancers := map[string]kgo.GroupBalancer{
		"cooperative-sticky": kgo.CooperativeStickyBalancer(),
		"range":              kgo.RangeBalancer(),
		"round-robin":        kgo.RoundRobinBalancer(),
	}
	chosen, ok := balancers[*balancer]
	if !ok {
		return fmt.Errorf("unknown balancer %q", *balancer)
	}
	has := &owned{partitions: map[int32]bool{}}
	gain := func(_ context.Context, _ *kgo.Client, p map[string][]int32) { has.change(p, true) }
	next := map[int32]int64{} // Of rebalances as well, which are blocked between polls.
	lose := func(_ context.Context, _ *kgo.Client, p map[string][]int32) {
		has.change(p, false)
		for _, partition := range p[*topic] {
			delete(next, partition)
		}
	}
	client, err := kgo.NewClient(append(clientOptions(*bootstrap),
		kgo.ConsumerGroup(*name),
		kgo.ConsumeTopics(*topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.Balancers(chosen),
		kgo.SessionTimeout(3*time.Second),
		kgo.HeartbeatInterval(300*time.Millisecond),
		kgo.RebalanceTimeout(6*time.Second),
		kgo.FetchMaxWait(100*time.Millisecond),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(gain),
		kgo.OnPartitionsRevoked(lose),
		kgo.OnPartitionsLost(lose),
	)...)
	if err != nil {
		return err
	}
	stop, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	for stop.Err() == nil {
		wait, done := context.WithTimeout(stop, 200*time.Millisecond)
		fetches := client.PollFetches(wait)
		done()
		for _, e := range fetches.Errors() {
			if !errors.Is(e.Err, context.Canceled) && !errors.Is(e.Err, context.DeadlineExceeded) {
				fmt.Fprintln(os.Stderr, "fetch:", e.Topic, e.Partition, e.Err)
			}
		}
		fetches.EachRecord(func(r *kgo.Record) {
			fmt.Println("record", r.Partition, r.Offset, string(r.Value))
			next[r.Partition] = r.Offset + 1
		})
		if len(next) > 0 {
			// What a rebalance or a lost coordinator was in the way of is committed with the next records, or when it is
			// polled again.
			err := client.CommitUncommittedOffsets(context.Background())
			for partition, offset := range next {
				if err == nil {
					fmt.Println("committed", partition, offset)
				} else {
					fmt.Println("uncommitted", partition, offset)
				}
			}
			if err == nil {
				clear(next)
			}
		}
		client.AllowRebalance()
	}
	client.CloseAllowingRebalance()
	fmt.Println("left")
	return nil
}
