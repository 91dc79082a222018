// Speaks to a Public API through the official Go SDK, one call a line.
//
// Usage: public-api-go BASE_URL, with the access token in the variable TOKEN.
// Reads  {"operation": "listSources", "path": [], "query": {"pagination": {"count": 2}}, "body": {…}}
// Prints {"status": 200, "body": {…}} or {"status": 404, "errors": […], "decoded": true}.
// `decoded` says that the SDK itself made its typed error out of the answer.
//
// Operations are found by name, so that a journey can use each of them without a line of Go.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"reflect"
	"strings"

	"github.com/segmentio/public-api-sdk-go/api"
)

type call struct {
	Operation string                     `json:"operation"`
	Path      []string                   `json:"path"`
	Query     map[string]json.RawMessage `json:"query"`
	Body      json.RawMessage            `json:"body"`
}

type answer struct {
	Status  int    `json:"status"`
	Body    any    `json:"body,omitempty"`
	Errors  any    `json:"errors,omitempty"`
	Decoded bool   `json:"decoded"`
	Failure string `json:"failure,omitempty"`
}

func main() {
	configuration := api.NewConfiguration()
	configuration.Servers = api.ServerConfigurations{{URL: os.Args[1]}}
	client := api.NewAPIClient(configuration)
	ctx := context.WithValue(context.Background(), api.ContextAccessToken, os.Getenv("TOKEN"))
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(make([]byte, 1<<20), 1<<24)
	out := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var asked call
		result, err := answer{}, json.Unmarshal(lines.Bytes(), &asked)
		if err == nil {
			result, err = perform(ctx, client, asked)
		}
		if err != nil {
			result = answer{Failure: err.Error()}
		}
		if err := out.Encode(result); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

// perform builds the request as a caller of the SDK would: client.SourcesAPI.ListSources(ctx).Pagination(p).Execute().
func perform(ctx context.Context, client *api.APIClient, asked call) (answer, error) {
	operation, err := findOperation(client, exported(asked.Operation))
	if err != nil {
		return answer{}, err
	}
	arguments := []reflect.Value{reflect.ValueOf(ctx)}
	for _, value := range asked.Path {
		arguments = append(arguments, reflect.ValueOf(value))
	}
	if operation.Type().NumIn() != len(arguments) {
		return answer{}, fmt.Errorf("%s takes %d path parameters", asked.Operation, operation.Type().NumIn()-1)
	}
	request := operation.Call(arguments)[0]
	for name, value := range asked.Query {
		if request, err = set(request, exported(name), value); err != nil {
			return answer{}, err
		}
	}
	if asked.Body != nil {
		if request, err = set(request, bodySetter(request), asked.Body); err != nil {
			return answer{}, err
		}
	}
	return read(request.MethodByName("Execute").Call(nil))
}

func exported(name string) string {
	return strings.ToUpper(name[:1]) + name[1:]
}

func findOperation(client *api.APIClient, name string) (reflect.Value, error) {
	services := reflect.ValueOf(client).Elem()
	for i := 0; i < services.NumField(); i++ {
		if !strings.HasSuffix(services.Type().Field(i).Name, "API") {
			continue
		}
		if operation := services.Field(i).MethodByName(name); operation.IsValid() {
			return operation, nil
		}
	}
	return reflect.Value{}, fmt.Errorf("the SDK has no operation %s", name)
}

func bodySetter(request reflect.Value) string {
	for i := 0; i < request.NumMethod(); i++ {
		if name := request.Type().Method(i).Name; strings.HasSuffix(name, "Input") {
			return name
		}
	}
	return "body"
}

func set(request reflect.Value, setter string, value json.RawMessage) (reflect.Value, error) {
	method := request.MethodByName(setter)
	if !method.IsValid() {
		method = request.MethodByName(setter + "_") // of a word that Go keeps for itself, such as type
	}
	if !method.IsValid() {
		return request, fmt.Errorf("%s has no %s", request.Type().Name(), setter)
	}
	argument := reflect.New(method.Type().In(0))
	if err := json.Unmarshal(value, argument.Interface()); err != nil {
		return request, fmt.Errorf("%s: %w", setter, err)
	}
	return method.Call([]reflect.Value{argument.Elem()})[0], nil
}

func read(results []reflect.Value) (answer, error) {
	response, _ := results[1].Interface().(*http.Response)
	failure, _ := results[2].Interface().(error)
	if response == nil {
		return answer{}, fmt.Errorf("no answer: %w", failure)
	}
	result := answer{Status: response.StatusCode}
	if failure == nil {
		result.Body, result.Decoded = results[0].Interface(), true
		return result, nil
	}
	var refused *api.GenericOpenAPIError
	if !errors.As(failure, &refused) || response.StatusCode < 400 {
		return result, fmt.Errorf("answer %d cannot be decoded: %w", response.StatusCode, failure)
	}
	if envelope, ok := refused.Model().(api.RequestErrorEnvelope); ok {
		result.Errors, result.Decoded = envelope.Errors, true
		return result, nil
	}
	var raw struct {
		Errors any `json:"errors"`
	}
	if err := json.Unmarshal(refused.Body(), &raw); err != nil {
		return result, fmt.Errorf("answer %d is no JSON: %w", response.StatusCode, err)
	}
	result.Errors = raw.Errors
	return result, nil
}
