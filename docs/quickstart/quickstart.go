// go mod init quickstart && go get github.com/twmb/franz-go/pkg/kgo && go run quickstart.go
package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
)

func main() {
	servers := os.Getenv("BOOTSTRAP_SERVERS")
	if servers == "" {
		servers = "localhost:9092"
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(servers, ",")...),
		kgo.AllowAutoTopicCreation(),
		kgo.ConsumerGroup("greeters-go"),
		kgo.ConsumeTopics("greetings"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	)
	if err != nil {
		panic(err)
	}
	defer client.Close()

	ctx := context.Background()
	hello := &kgo.Record{Topic: "greetings", Key: []byte("go"), Value: []byte("hello from Go")}
	if err := client.ProduceSync(ctx, hello).FirstErr(); err != nil {
		panic(err)
	}
	for key := ""; key != "go"; {
		client.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			key = string(r.Key)
			fmt.Printf("%s: %s\n", key, r.Value)
		})
	}
}
