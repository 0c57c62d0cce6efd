// Go's net/http with its default client: go run go-net-http.go URL NAME
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

type said struct {
	Session      string            `json:"session"`
	Code         string            `json:"code"`
	Records      []json.RawMessage `json:"records"`
	MemberID     string            `json:"memberId"`
	MemberSecret string            `json:"memberSecret"`
	MemberEpoch  int               `json:"memberEpoch"`
	Assignment   json.RawMessage   `json:"assignment"`
}

func ask(method, url string, headers map[string]string, body io.Reader) (*http.Response, string) {
	request, err := http.NewRequest(method, url, body)
	check(err)
	for name, value := range headers {
		request.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	check(err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	check(err)
	return response, string(text)
}

func check(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func parsed(text string) (value said) {
	check(json.Unmarshal([]byte(text), &value))
	return value
}

func main() {
	name := os.Args[2]
	v1 := os.Args[1] + "/v1"
	node := v1 + "/nodes/" + name
	posted := func(title, url, body string, headers map[string]string) said {
		all := map[string]string{"Content-Type": "application/json"}
		for header, value := range headers {
			all[header] = value
		}
		response, text := ask("POST", url, all, strings.NewReader(body))
		fmt.Println(title, response.StatusCode)
		return parsed(text)
	}

	session := posted("session", v1+"/sessions", `{"ttl":"30s"}`, nil).Session
	own := map[string]string{"Weir-Session": session}
	response, _ := ask("PUT", v1+"/sessions/"+session, nil, nil)
	fmt.Println("renew", response.StatusCode)
	response, _ = ask("PUT", node+"?mode=ephemeral", own, strings.NewReader("blue"))
	fmt.Println("ephemeral", response.StatusCode)
	response, text := ask("GET", node, nil, nil)
	fmt.Println("read", response.StatusCode, text)
	tag := map[string]string{"If-Match": response.Header.Get("ETag")}
	response, _ = ask("PUT", node, tag, strings.NewReader("green"))
	fmt.Println("compare-and-set", response.StatusCode)
	response, text = ask("PUT", node, tag, strings.NewReader("green"))
	fmt.Println("conflict", response.StatusCode, parsed(text).Code)
	response, _ = ask("GET", node, nil, nil)
	seen := map[string]string{"If-None-Match": response.Header.Get("ETag")}
	done := make(chan bool)
	go func() {
		response, text := ask("GET", node+"?wait=20s", seen, nil)
		fmt.Println("long-poll", response.StatusCode, text)
		done <- true
	}()
	ask("PUT", node, nil, strings.NewReader("red"))
	<-done

	posted("topic", v1+"/topics", `{"name":"`+name+`"}`, nil)
	records := v1 + "/topics/" + name + "/records"
	posted("produce", records, `{"records":[{"key":"k","value":1},{"value":{"two":2}}]}`, nil)
	// Of a length that is not known before: chunked.
	reader, writer := io.Pipe()
	go func() {
		io.WriteString(writer, "{\"value\":3}\n")
		writer.Close()
	}()
	response, _ = ask("POST", records, map[string]string{"Content-Type": "application/x-ndjson"}, reader)
	fmt.Println("lines", response.StatusCode)
	response, text = ask("GET", v1+"/topics/"+name+"/partitions/0/records?wait=5s", nil, nil)
	fmt.Println("fetch", response.StatusCode, len(parsed(text).Records))

	members := v1 + "/groups/" + name + "/members"
	joined := posted("join", members, `{"topics":["`+name+`"],"reset":"earliest"}`, nil)
	member := members + "/" + joined.MemberID
	secret := map[string]string{"Weir-Member": joined.MemberSecret}
	response, text = ask("GET", member+"/records?wait=5s", secret, nil)
	fmt.Println("consume", response.StatusCode, len(parsed(text).Records))
	beat := fmt.Sprintf(`{"memberEpoch":%d,"owned":%s}`, joined.MemberEpoch, joined.Assignment)
	posted("heartbeat", member+"/heartbeat", beat, secret)
	response, _ = ask("DELETE", member, secret, nil)
	fmt.Println("leave", response.StatusCode)
	response, text = ask("GET", v1+"/nodes/"+name+"-none", nil, nil)
	fmt.Println("problem", response.StatusCode, parsed(text).Code)

	stream, err := http.Get(v1 + "/watch/" + name + "?since=0")
	check(err)
	for lines := bufio.NewScanner(stream.Body); lines.Scan(); {
		if strings.Contains(lines.Text(), `"changed"`) {
			fmt.Println("events", stream.StatusCode, "changed")
			break
		}
	}
	stream.Body.Close()
	response, _ = ask("DELETE", v1+"/sessions/self", own, nil)
	fmt.Println("end", response.StatusCode)
}
