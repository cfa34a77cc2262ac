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
  {{- if .Values.retrain.enabled -}}
    {{- range .Values.retrain.models -}}
      {{- if not (hasKey $models .) -}}
        {{- fail (printf "retrain.models names %q, which policy.document does not have; it has: %s" . (keys $models | sortAlpha | join ", ")) -}}
      {{- end -}}
    {{- end -}}
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
