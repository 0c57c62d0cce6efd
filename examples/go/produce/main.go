// produce TOPIC: appends each line of its input as a record, and prints the partition and the offset of each
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"

	"weirkeeper.example/weir"
)

func main() {
	ctx := context.Background()
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		records := map[string]any{"records": []map[string]string{{"value": lines.Text()}}}
		var produced struct {
			Results []struct{ Partition, BaseOffset int }
		}
		if _, err := weir.Request(ctx, "POST", "/topics/"+os.Args[1]+"/records", nil, records, &produced); err != nil {
			weir.Exit(ctx, err)
		}
		fmt.Println(produced.Results[0].Partition, produced.Results[0].BaseOffset)
	}
	if err := lines.Err(); err != nil {
		weir.Exit(ctx, err)
	}
}
