package main

import (
	"context"
	"flag"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// admin walks through a topic's life and prints what the cluster answers, one fact a line.
func admin(args []string) error {
	f := flag.NewFlagSet("admin", flag.ExitOnError)
	bootstrap := f.String("bootstrap", "localhost:9092", "bootstrap servers")
	topic := f.String("topic", "", "a topic that does not exist yet")
	f.Parse(args)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	client, err := kgo.NewClient(append(clientOptions(*bootstrap), kgo.DefaultProduceTopic(*topic))...)
	if err != nil {
		return err
	}
	defer client.Close()
	a := kadm.NewClient(client)

	brokers, err := a.ListBrokers(ctx)
	if err != nil {
		return err
	}
	fmt.Println("brokers", brokers.NodeIDs())
	segment := "1048576"
	created, err := a.CreateTopic(ctx, 2, 3, map[string]*string{"segment.bytes": &segment}, *topic)
	if err != nil {
		return fmt.Errorf("create: %w", err)
	}
	fmt.Println("created partitions", created.NumPartitions, "replicas", created.ReplicationFactor)
	if _, err = a.CreateTopic(ctx, 2, 3, nil, *topic); err == nil {
		return fmt.Errorf("a second creation of %s succeeded", *topic)
	}
	fmt.Println("again", err)
	grown, err := a.UpdatePartitions(ctx, 4, *topic)
	if err == nil {
		err = grown.Error()
	}
	if err != nil {
		return fmt.Errorf("create partitions: %w", err)
	}
	described, err := describeUntil(ctx, a, *topic, func(t kadm.TopicDetail) bool { return len(t.Partitions) == 4 })
	if err != nil {
		return err
	}
	for _, p := range described.Partitions.Sorted() {
		fmt.Println("partition", p.Partition, "replicas", len(p.Replicas), "isr", len(p.ISR), "offline",
			len(p.OfflineReplicas))
	}
	altered, err := a.AlterTopicConfigs(ctx, []kadm.AlterConfig{
		{Op: kadm.SetConfig, Name: "retention.ms", Value: kadm.StringPtr("3600000")},
		{Op: kadm.DeleteConfig, Name: "segment.bytes"},
	}, *topic)
	if err == nil {
		_, err = altered.On(*topic, func(r *kadm.AlterConfigsResponse) error { return r.Err })
	}
	if err != nil {
		return fmt.Errorf("alter configs: %w", err)
	}
	if err = printConfigs(ctx, a, *topic); err != nil {
		return err
	}
	if err = deleteRecords(ctx, a, client, *topic); err != nil {
		return err
	}
	deleted, err := a.DeleteTopic(ctx, *topic)
	if err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	fmt.Println("deleted", deleted.Topic == *topic)
	gone, err := describeUntil(ctx, a, *topic, func(t kadm.TopicDetail) bool { return t.Err != nil })
	if err != nil {
		return err
	}
	fmt.Println("after deletion", gone.Err)
	return nil
}

// describeUntil asks until the answer is as wanted: Kafka's brokers learn of a change a moment after it is acknowledged.
func describeUntil(ctx context.Context, a *kadm.Client, topic string, wanted func(kadm.TopicDetail) bool,
) (kadm.TopicDetail, error) {
	for {
		listed, err := a.ListTopics(ctx, topic)
		if err != nil {
			return kadm.TopicDetail{}, err
		}
		if wanted(listed[topic]) {
			return listed[topic], nil
		}
		if err := again(ctx); err != nil {
			return kadm.TopicDetail{}, fmt.Errorf("topic %s stayed %v: %w", topic, listed[topic], err)
		}
	}
}

// again paces the repetition of a request.
func again(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(20 * time.Millisecond):
		return nil
	}
}

func printConfigs(ctx context.Context, a *kadm.Client, topic string) error {
	for {
		described, err := a.DescribeTopicConfigs(ctx, topic)
		if err != nil {
			return fmt.Errorf("describe configs: %w", err)
		}
		resource, err := described.On(topic, nil)
		if err != nil {
			return err
		}
		facts := make(map[string]string)
		for _, c := range resource.Configs {
			facts[c.Key] = fmt.Sprint(c.MaybeValue(), " ", c.Source)
		}
		if facts["retention.ms"] == "3600000 DYNAMIC_TOPIC_CONFIG" {
			for _, name := range []string{"cleanup.policy", "retention.ms", "segment.bytes"} {
				fmt.Println("config", name, facts[name])
			}
			return nil
		}
		if err := again(ctx); err != nil {
			return fmt.Errorf("retention.ms stayed %q: %w", facts["retention.ms"], err)
		}
	}
}

func deleteRecords(ctx context.Context, a *kadm.Client, client *kgo.Client, topic string) error {
	for n := range 100 {
		record := &kgo.Record{Key: []byte("one-key"), Value: fmt.Appendf(nil, "%d", n)}
		if err := client.ProduceSync(ctx, record).FirstErr(); err != nil {
			return fmt.Errorf("produce: %w", err)
		}
	}
	ends, _, err := offsets(ctx, client, topic)
	if err != nil {
		return err
	}
	for partition, end := range ends {
		if end == 0 {
			continue
		}
		var before kadm.Offsets
		before.Add(kadm.Offset{Topic: topic, Partition: partition, At: 60, LeaderEpoch: -1})
		cut, err := a.DeleteRecords(ctx, before)
		if err == nil {
			err = cut.Error()
		}
		if err != nil {
			return fmt.Errorf("delete records: %w", err)
		}
		_, starts, err := offsets(ctx, client, topic)
		if err != nil {
			return err
		}
		fmt.Println("records deleted: start", starts[partition], "end", end)
	}
	return nil
}
