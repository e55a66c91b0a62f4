;; The types of `wit/handler.wit`, for both frames.
;;@types
(type $source (record (field "stream" string) (field "topic" string) (field "partition" u32) (field "offset" u64)))
(type $header (record (field "name" string) (field "value" string)))
(type $event (record
  (field "id" string) (field "type" string) (field "schema-version" u16) (field "tenant" (option string))
  (field "key" (option string)) (field "correlation-id" (option string)) (field "causation-id" (option string))
  (field "actor" (option string)) (field "traceparent" (option string)) (field "timestamp" u64)
  (field "source" $source) (field "attempt" u32) (field "headers" (list $header))
  (field "content-type" string) (field "payload" (list u8))))
(type $emit (record
  (field "type" string) (field "schema-version" u16) (field "topic" (option string))
  (field "key" (option string)) (field "headers" (list $header)) (field "payload" (list u8))))
(type $retry (record (field "reason" string) (field "after" (option u64))))
(type $failure (variant (case "retry" $retry) (case "reject" string)))
