package config

import (
	"encoding/json"
	"fmt"
)

// Schema is a JSON schema (draft 2020-12) of flinch.toml, made from [Keys],
// for editors that complete and check TOML.
func Schema() []byte {
	root := object(globalSchemas())
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "flinch.toml"
	data, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		// Only types that JSON knows are put in.
		panic(fmt.Sprintf("config: schema: %v", err))
	}
	return append(data, '\n')
}

// schema is a JSON object.
type schema = map[string]any

func object(properties schema) schema {
	return schema{"type": "object", "additionalProperties": false, "properties": properties}
}

func globalSchemas() schema {
	properties := schema{}
	for _, k := range keys {
		if k.Where.Has(Global) {
			properties[k.Name] = k.schema(k.Default)
		}
	}
	properties["task"] = ruleSchema(Task, Rules, "Rules that run to their end.")
	properties["service"] = ruleSchema(Service, Rules|Services, "Rules that are kept running.")
	return properties
}

func ruleSchema(kind Kind, where Where, doc string) schema {
	properties := schema{}
	for _, k := range keys {
		if k.Where.Has(where) {
			properties[k.Name] = k.schema(k.defaultFor(kind))
		}
	}
	rule := object(properties)
	rule["required"] = []string{"run"}
	return schema{
		"type": "object", "description": doc, "additionalProperties": rule,
		"propertyNames": schema{"pattern": namePattern},
	}
}

// namePattern is what isRuleName says, without the classes of letters that
// not every reader of schemas knows.
const namePattern = "^[A-Za-z0-9_\u0080-\uffff][A-Za-z0-9_.\u0080-\uffff-]{0,63}$"

// schema describes a key with its default.
func (k Key) schema(text string) schema {
	s := k.typeSchema()
	s["description"] = k.Doc
	if text != "" {
		s["default"] = jsonValue(text)
	}
	return s
}

// jsonValue turns a default's TOML text into what JSON shows.
func jsonValue(text string) any {
	values, err := decode("v = " + text)
	if err != nil {
		return text
	}
	return values["v"]
}

// typeSchema is the form of a key's values.
func (k Key) typeSchema() schema {
	text := schema{"type": "string", "minLength": 1}
	list := schema{"type": "array", "items": text}
	switch k.Type {
	case TypeBool:
		return schema{"type": "boolean"}
	case TypeInt:
		return schema{"type": "integer"}
	case TypeStrings:
		return list
	case TypeLines:
		return schema{"oneOf": []schema{text, list}}
	case TypeCommand:
		return schema{"oneOf": []schema{text, {"type": "array", "items": schema{"type": "string"}, "minItems": 1}}}
	case TypeDuration:
		return schema{"type": "string", "pattern": durationPattern}
	case TypeSize:
		return schema{"type": "string", "pattern": `^[0-9.]+ *([kKmMgG][iI]?)?[bB]$`}
	case TypeEnum:
		return schema{"enum": k.Values}
	case TypeEnv:
		return schema{"type": "object", "additionalProperties": schema{"type": "string"}}
	case TypePort:
		return schema{"oneOf": []schema{{"const": true}, {"type": "integer", "minimum": 1, "maximum": 65535}}}
	}
	return k.wordSchema(text)
}

const durationPattern = `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$|^0$`

// wordSchema is the form of values with words and parts of their own.
func (k Key) wordSchema(text schema) schema {
	switch k.Type {
	case TypeOps:
		return schema{"oneOf": []schema{text, {"type": "array", "items": schema{"enum": k.Values}, "minItems": 1}}}
	case TypeBusy:
		return schema{"oneOf": []schema{{"enum": k.Values}, {"type": "string", "pattern": "^signal:[A-Za-z0-9]+$"}}}
	case TypeSettle:
		return schema{"oneOf": []schema{{"enum": k.Values}, {"type": "string", "pattern": durationPattern}}}
	case TypeTable:
		return k.subSchema()
	case TypeOutput:
		return schema{"oneOf": []schema{text, k.subSchema("file")}}
	case TypeListen:
		one := schema{"oneOf": []schema{text, k.subSchema("address")}}
		return schema{"oneOf": []schema{text, k.subSchema("address"), {"type": "array", "items": one, "minItems": 1}}}
	}
	return text
}

// subSchema is a table of the key's own keys.
func (k Key) subSchema(required ...string) schema {
	properties := schema{}
	for _, sub := range k.Sub {
		properties[sub.Name] = sub.schema(sub.Default)
	}
	s := object(properties)
	if len(required) > 0 {
		s["required"] = required
	}
	return s
}
