"""Read YAML texts from a JSON list on stdin, and print what they say as JSON."""

import json
import sys

import yaml

print(json.dumps([yaml.safe_load(text) for text in json.load(sys.stdin)]))
