// Makes a round trip with the client that openapi-generator makes for Go: main URL
package main

import (
	"context"
	"fmt"
	"net/url"
	"os"

	weir "weirkeeper/client"
)

func check(err error) {
	if err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
}

func main() {
	address, err := url.Parse(os.Args[1])
	check(err)
	settings := weir.NewConfiguration()
	settings.Servers = weir.ServerConfigurations{{URL: address.String()}}
	client := weir.NewAPIClient(settings)
	ctx := context.Background()

	node, response, err := client.NodesAPI.NodesPut(ctx, "generated/go").Body("blue").Execute()
	check(err)
	fmt.Println("node", response.StatusCode, node.GetPath())
	data, _, err := client.NodesAPI.NodesGet(ctx, "generated/go").Execute()
	check(err)
	fmt.Println("read", data)
	body := weir.NewCreateSession()
	body.SetTtl("20s")
	session, _, err := client.SessionsAPI.SessionsCreate(ctx).CreateSession(*body).Execute()
	check(err)
	fmt.Println("session", session.GetTtlMs())
	_, _, err = client.TopicsAPI.TopicsCreate(ctx).CreateTopic(*weir.NewCreateTopic("generated-go")).Execute()
	check(err)
	record := weir.NewProducedRecord()
	record.SetKey("k")
	record.SetValue(map[string]any{"n": 1})
	records := weir.NewProduceRecords([]weir.ProducedRecord{*record})
	produced, _, err := client.TopicsAPI.RecordsProduce(ctx, "generated-go").ProduceRecords(*records).Execute()
	check(err)
	fmt.Println("produced", produced.Results[0].Count)
	fetched, _, err := client.TopicsAPI.RecordsFetch(ctx, "generated-go", 0).Execute()
	check(err)
	fmt.Println("fetched", fetched.Records[0].GetKey(), fetched.Records[0].GetValue(), fetched.EndOffset)
	_, response, err = client.NodesAPI.NodesGet(ctx, "generated/none").Execute()
	problem := err.(*weir.GenericOpenAPIError).Model().(weir.Problem)
	fmt.Println("problem", response.StatusCode, problem.Code)
}
