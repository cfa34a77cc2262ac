{{/* What the schema cannot say: rules between values, and what the policy document must hold. */}}
{{- define "trueband.checks" -}}
{{- $sidecar := .Values.sidecar -}}
{{- if not .Values.policy.existingConfigMap -}}
  {{- $policy := fromYaml .Values.policy.document -}}
  {{- if hasKey $policy "Error" -}}
    {{- fail (printf "policy.document is not YAML: %s" $policy.Error) -}}
  {{- end -}}
  {{- if ne (toString (get $policy "version")) "1" -}}
    {{- fail "policy.document needs `version: 1`" -}}
  {{- end -}}
  {{- $models := get $policy "models" -}}
  {{- if not (and (kindIs "map" $models) $models) -}}
    {{- fail "policy.document needs at least one model under `models`" -}}
  {{- end -}}
  {{- range $job := list "retrain" "watch" -}}
    {{- $values := get $.Values $job -}}
    {{- if $values.enabled -}}
      {{- range $values.models -}}
        {{- if not (hasKey $models .) -}}
          {{- fail (printf "%s.models names %q, which policy.document does not have; it has: %s" $job . (keys $models | sortAlpha | join ", ")) -}}
        {{- end -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
  {{- if .Values.watch.enabled -}}
    {{- include "trueband.checks.watch" (dict "root" . "models" $models) -}}
  {{- end -}}
{{- end -}}

{{- with .Values.floors.document -}}
  {{- $floors := fromYaml . -}}
  {{- if hasKey $floors "Error" -}}
    {{- fail (printf "floors.document is not YAML: %s" $floors.Error) -}}
  {{- end -}}
  {{- if ne (toString (get $floors "version")) "1" -}}
    {{- fail "floors.document needs `version: 1`" -}}
  {{- end -}}
{{- end -}}

{{- $ports := dict -}}
{{- $used := list (list "sidecar.health.port" $sidecar.health.port) (list "modelServer.port" .Values.modelServer.port) -}}
{{- if $sidecar.metrics.enabled -}}
  {{- $used = append $used (list "sidecar.metrics.port" $sidecar.metrics.port) -}}
{{- end -}}
{{- if eq $sidecar.api.mode "loopback" -}}
  {{- $used = append $used (list "sidecar.api.port" $sidecar.api.port) -}}
{{- end -}}
{{- range $used -}}
  {{- $port := toString (int (last .)) -}}
  {{- if hasKey $ports $port -}}
    {{- fail (printf "%s and %s are both %s: the containers of a pod share their ports" (get $ports $port) (first .) $port) -}}
  {{- end -}}
  {{- $_ := set $ports $port (first .) -}}
{{- end -}}

{{- $room := div (int64 (include "trueband.bytes" .Values.data.size)) 2 -}}
{{- if gt (int64 $sidecar.journalMaxBytes) $room -}}
  {{- fail (printf "sidecar.journalMaxBytes (%d) is more than half of data.size (%s): raise data.size or lower it to at most %d" (int64 $sidecar.journalMaxBytes) .Values.data.size $room) -}}
{{- end -}}

{{- /* Open calls have drainSeconds, then the journal has as many again. */ -}}
{{- $least := add (mul 2 (int $sidecar.drainSeconds)) 10 -}}
{{- if lt (int .Values.terminationGracePeriodSeconds) (int $least) -}}
  {{- fail (printf "terminationGracePeriodSeconds (%d) must be at least 2 x sidecar.drainSeconds + 10 = %d: the sidecar drains after the model server, within the same period" (int .Values.terminationGracePeriodSeconds) (int $least)) -}}
{{- end -}}
{{- end -}}

{{/* What the policy of a watched model asks for must be within the reach of the watch. Takes root, models. */}}
{{- define "trueband.checks.watch" -}}
{{- $watch := .root.Values.watch -}}
{{- $uri := .root.Values.mlflow.trackingUri -}}
{{- $reachable := and $uri (not (regexMatch "^https?://(localhost([:/?]|$)|127\\.|0\\.0\\.0\\.0|\\[::1?\\])" $uri)) -}}
{{- range $name, $model := .models -}}
  {{- if and (kindIs "map" $model) (or (not $watch.models) (has $name $watch.models)) -}}
    {{- $bands := default list (get $model "bands") -}}
    {{- range $category := default dict (get $model "categories") -}}
      {{- if kindIs "map" $category -}}
        {{- $bands = concat $bands (default list (get $category "bands")) -}}
      {{- end -}}
    {{- end -}}
    {{- range $band := $bands -}}
      {{- if and (kindIs "map" $band) (eq (toString (get $band "on_breach")) "hold") (not $watch.sidecar.enabled) -}}
        {{- fail (printf "policy.document says on_breach: hold (model %s), which a watch in a pod of its own can do over a sidecar of its own only: set watch.sidecar.enabled" $name) -}}
      {{- end -}}
    {{- end -}}
    {{- $retrain := default dict (get $model "retrain") -}}
    {{- if and $watch.retrain (kindIs "map" $retrain) (or (get $retrain "on_alarm") (get $retrain "after_labels") (get $retrain "after")) (not $reachable) -}}
      {{- fail (printf "policy.document asks the watch for retrains (model %s), for which it needs a registry that another pod can reach: set mlflow.trackingUri, or watch.retrain to false" $name) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- end -}}
