{{/* Names, labels and images. */}}

{{- define "trueband.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "trueband.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The full name with a suffix that survives the cut at 63 characters. Takes root, suffix. */}}
{{- define "trueband.suffixed" -}}
{{- $room := int (sub 62 (len .suffix)) -}}
{{- printf "%s-%s" (include "trueband.fullname" .root | trunc $room | trimSuffix "-") .suffix -}}
{{- end -}}

{{/* Name of a CronJob: at most 52 characters, unique per release and model, valid whatever the model is called.
     Takes root, job, model (empty: all of them). */}}
{{- define "trueband.jobName" -}}
{{- $fullname := include "trueband.fullname" .root -}}
{{- $prefix := $fullname | trunc 20 | trimSuffix "-" -}}
{{- $model := regexReplaceAll "[^a-z0-9]+" (lower .model) "-" | trimPrefix "-" | trunc 15 | trimSuffix "-" -}}
{{- $unique := sha256sum (printf "%s/%s" $fullname .model) | trunc 7 -}}
{{- printf "%s-%s-%s-%s" $prefix .job (default (ternary "model" "all" (ne .model "")) $model) $unique -}}
{{- end -}}

{{/* What a selector matches. Takes root, component. */}}
{{- define "trueband.selectorLabels" -}}
app.kubernetes.io/name: {{ include "trueband.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* All labels of a resource. Takes root, component. */}}
{{- define "trueband.labels" -}}
{{ include "trueband.selectorLabels" . }}
app.kubernetes.io/part-of: trueband
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Reference of an image: by digest when there is one. Takes root, image. */}}
{{- define "trueband.image" -}}
{{- if .image.digest -}}
{{- printf "%s@%s" .image.repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" .image.repository (default .root.Chart.AppVersion .image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "trueband.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "trueband.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "trueband.policyConfigMap" -}}
{{- default (include "trueband.suffixed" (dict "root" . "suffix" "policy")) .Values.policy.existingConfigMap -}}
{{- end -}}

{{- define "trueband.floorsConfigMap" -}}
{{- default (include "trueband.suffixed" (dict "root" . "suffix" "floors")) .Values.floors.existingConfigMap -}}
{{- end -}}

{{/* Whether there is a floors file: "true" or nothing. */}}
{{- define "trueband.hasFloors" -}}
{{- if or .Values.floors.existingConfigMap .Values.floors.document -}}true{{- end -}}
{{- end -}}

{{- define "trueband.claimName" -}}
{{- default (include "trueband.suffixed" (dict "root" . "suffix" "data")) .Values.data.persistence.existingClaim -}}
{{- end -}}

{{/* Address of the API, in the notation that server and client share. */}}
{{- define "trueband.address" -}}
{{- if eq .Values.sidecar.api.mode "socket" -}}
unix:/run/trueband/trueband.sock
{{- else -}}
{{- printf "127.0.0.1:%d" (int .Values.sidecar.api.port) -}}
{{- end -}}
{{- end -}}

{{/* Bytes of a quantity in Mi, Gi or Ti. */}}
{{- define "trueband.bytes" -}}
{{- $number := int64 (regexFind "^[0-9]+" .) -}}
{{- $unit := get (dict "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776) (regexFind "[A-Za-z]+$" .) -}}
{{- mul $number (int64 $unit) -}}
{{- end -}}

{{/* The security context of every container that runs Trueband. It is no value: nobody can weaken it. */}}
{{- define "trueband.securityContext" -}}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
privileged: false
readOnlyRootFilesystem: true
runAsNonRoot: true
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* Variables that come from Secrets. Takes a dict of variable: {name, key}; a Secret without a name is none. */}}
{{- define "trueband.secretEnv" -}}
{{- range $variable, $secret := . }}
{{- if and $secret.name $secret.key }}
- name: {{ $variable }}
  valueFrom:
    secretKeyRef:
      name: {{ $secret.name }}
      key: {{ $secret.key }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The registry's address and credentials. Takes root, secret. */}}
{{- define "trueband.mlflowEnv" -}}
{{- with .root.Values.mlflow.trackingUri }}
- name: MLFLOW_TRACKING_URI
  value: {{ . | quote }}
{{- end }}
{{- $name := .secret.name }}
{{- include "trueband.secretEnv" (dict "MLFLOW_TRACKING_USERNAME" (dict "name" $name "key" .secret.usernameKey) "MLFLOW_TRACKING_PASSWORD" (dict "name" $name "key" .secret.passwordKey) "MLFLOW_TRACKING_TOKEN" (dict "name" $name "key" .secret.tokenKey)) }}
{{- end -}}

{{/* The ledger's address, if it is not the SQLite file in the data directory. */}}
{{- define "trueband.ledgerEnv" -}}
{{- if .Values.ledger.existingSecret.name }}
{{- include "trueband.secretEnv" (dict "TRUEBAND_LEDGER_URL" .Values.ledger.existingSecret) }}
{{- else if .Values.ledger.url }}
- name: TRUEBAND_LEDGER_URL
  value: {{ .Values.ledger.url | quote }}
{{- end }}
{{- end -}}
