{{/* The name of all that the release makes. */}}
{{- define "weirkeeper.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "weirkeeper.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "weirkeeper.labels" -}}
{{ include "weirkeeper.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* Not empty: the brokers use a Redis that is not theirs. */}}
{{- define "weirkeeper.isShared" -}}
{{- if or .Values.redis.url .Values.redis.existingSecret -}}true{{- end -}}
{{- end -}}

{{/* The Secrets, given or made. */}}
{{- define "weirkeeper.redisSecret" -}}
{{- default (printf "%s-redis" (include "weirkeeper.fullname" .)) .Values.redis.existingSecret -}}
{{- end -}}

{{- define "weirkeeper.policySecret" -}}
{{- default (printf "%s-policy" (include "weirkeeper.fullname" .)) .Values.access.existingSecret -}}
{{- end -}}

{{- define "weirkeeper.hasPolicy" -}}
{{- if or .Values.access.policy .Values.access.existingSecret -}}true{{- end -}}
{{- end -}}

{{/* Values that are valid alone, but not together. */}}
{{- define "weirkeeper.check" -}}
{{- if and (not (include "weirkeeper.hasPolicy" .)) (not .Values.access.insecure) -}}
{{- fail "Say who may do what: set access.policy or access.existingSecret, or access.insecure=true if only trusted clients reach the pods." -}}
{{- end -}}
{{- if and .Values.access.policy .Values.access.existingSecret -}}
{{- fail "access.policy and access.existingSecret are both set; leave one of them out." -}}
{{- end -}}
{{- if and .Values.redis.url .Values.redis.existingSecret -}}
{{- fail "redis.url and redis.existingSecret are both set; leave one of them out." -}}
{{- end -}}
{{- if and .Values.tls.clientCa (not .Values.tls.secretName) -}}
{{- fail "tls.clientCa is set, but without tls.secretName no client can send a certificate." -}}
{{- end -}}
{{- end -}}

{{/* The pod; the same with a private Redis and with a shared one, but for its data. */}}
{{- define "weirkeeper.pod" -}}
metadata:
  labels:
    {{- include "weirkeeper.labels" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    # A changed Secret of this release makes new pods. The server takes changes of the policy and the certificate without it.
    checksum/redis: {{ .Values.redis.url | sha256sum }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "weirkeeper.fullname" . }}
  automountServiceAccountToken: false
  # A Service named weir would set variables that begin with WEIR_, which the server refuses as unknown options.
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 1000
    runAsGroup: 1000
    fsGroup: 1000
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile: { type: RuntimeDefault }
  containers:
    - name: weirkeeper
      image: {{ printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: { drop: [ALL] }
      env:
        - name: POD_IP
          valueFrom: { fieldRef: { fieldPath: status.podIP } }
        - { name: WEIR_HOST, value: '0.0.0.0' }
        - { name: WEIR_PORT, value: '7070' }
        - { name: WEIR_LOG_FORMAT, value: json }
        - { name: WEIR_WORKERS, value: {{ .Values.workers | quote }} }
        - name: WEIR_ALLOWED_HOSTS
          value: {{ concat (list (include "weirkeeper.fullname" .) (printf "%s.%s" (include "weirkeeper.fullname" .) .Release.Namespace) (printf ".%s.svc" .Release.Namespace) (printf ".%s.svc.cluster.local" .Release.Namespace)) .Values.allowedHosts | join "," | quote }}
        {{- if not (hasKey .Values.env "WEIR_ADVERTISED_URL") }}
        - name: WEIR_ADVERTISED_URL
          value: {{ printf "%s://$(POD_IP):7070" (ternary "https" "http" (ne .Values.tls.secretName "")) | quote }}
        {{- end }}
        {{- if include "weirkeeper.isShared" . }}
        - { name: WEIR_REDIS_URL_FILE, value: {{ printf "/etc/weirkeeper/redis/%s" .Values.redis.key | quote }} }
        - { name: WEIR_DRAIN_DELAY, value: {{ .Values.drainDelay | quote }} }
        {{- else }}
        # A folder of its own: the root of a volume belongs to root, and the server wants to be alone with its data.
        - { name: WEIR_DATA_DIR, value: /data/weirkeeper }
        {{- end }}
        {{- if include "weirkeeper.hasPolicy" . }}
        - { name: WEIR_ACCESS_FILE, value: /etc/weirkeeper/access/policy.yaml }
        {{- else }}
        - { name: WEIR_INSECURE, value: 'true' }
        {{- end }}
        {{- if .Values.tls.secretName }}
        - { name: WEIR_TLS_CERT, value: /etc/weirkeeper/tls/tls.crt }
        - { name: WEIR_TLS_KEY, value: /etc/weirkeeper/tls/tls.key }
        {{- if .Values.tls.clientCa }}
        - { name: WEIR_TLS_CLIENT_CA, value: /etc/weirkeeper/tls/ca.crt }
        {{- end }}
        {{- end }}
        {{- range $name, $value := .Values.env }}
        - { name: {{ $name }}, value: {{ $value | quote }} }
        {{- end }}
      ports:
        - { name: http, containerPort: 7070, protocol: TCP }
      {{- $scheme := ternary "HTTPS" "HTTP" (ne .Values.tls.secretName "") }}
      # It listens before its Redis has loaded, so this is quick; loading is the matter of readiness alone.
      startupProbe:
        httpGet: { path: /health/live, port: http, scheme: {{ $scheme }} }
        periodSeconds: 2
        failureThreshold: 30
      livenessProbe:
        httpGet: { path: /health/live, port: http, scheme: {{ $scheme }} }
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      readinessProbe:
        httpGet: { path: /health/ready, port: http, scheme: {{ $scheme }} }
        periodSeconds: 2
        timeoutSeconds: 2
        failureThreshold: 2
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      volumeMounts:
        - { name: tmp, mountPath: /tmp }
        {{- if not (include "weirkeeper.isShared" .) }}
        - { name: data, mountPath: /data }
        {{- else }}
        - { name: redis, mountPath: /etc/weirkeeper/redis, readOnly: true }
        {{- end }}
        {{- if include "weirkeeper.hasPolicy" . }}
        - { name: access, mountPath: /etc/weirkeeper/access, readOnly: true }
        {{- end }}
        {{- if .Values.tls.secretName }}
        - { name: tls, mountPath: /etc/weirkeeper/tls, readOnly: true }
        {{- end }}
  volumes:
    - { name: tmp, emptyDir: {} }
    {{- if include "weirkeeper.isShared" . }}
    - { name: redis, secret: { secretName: {{ include "weirkeeper.redisSecret" . }}, defaultMode: 0440 } }
    {{- end }}
    {{- if include "weirkeeper.hasPolicy" . }}
    - { name: access, secret: { secretName: {{ include "weirkeeper.policySecret" . }}, defaultMode: 0440 } }
    {{- end }}
    {{- with .Values.tls.secretName }}
    - { name: tls, secret: { secretName: {{ . }}, defaultMode: 0440 } }
    {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
