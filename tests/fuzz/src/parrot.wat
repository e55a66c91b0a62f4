;; A guest whose memory begins with the payload of the (first) event, and whose answer stands at its beginning.
(component
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
  (type $event-emit (record (field "event" u32) (field "emit" $emit)))
  (type $event-failure (record (field "event" u32) (field "failure" $failure)))
  (type $answers (record
    (field "emits" (list $event-emit)) (field "failures" (list $event-failure)) (field "skipped" (list u32))))

  (core module $parrot-module
    (memory (export "memory") 3)
    (global $free (mut i32) (i32.const 65536))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      ;; The arguments of a call fit into the last two pages.
      (if (i32.gt_u (i32.add (global.get $free) (local.get 3)) (i32.const 196600))
        (then (global.set $free (i32.const 65536))))
      (global.get $free)
      (global.set $free
        (i32.and (i32.add (i32.add (global.get $free) (local.get 3)) (i32.const 7)) (i32.const -8))))

    (func $say (param $from i32) (param $length i32) (result i32)
      (memory.fill (i32.const 0) (i32.const 0) (i32.const 65536))
      (if (i32.gt_u (local.get $length) (i32.const 65536)) (then (local.set $length (i32.const 65536))))
      (memory.copy (i32.const 0) (local.get $from) (local.get $length))
      (global.set $free (i32.const 65536))
      (i32.const 0))

    ;; The payload is the last of the event's fields: 156 bytes from its beginning.
    (func (export "handle") (param $event i32) (result i32)
      (call $say
        (i32.load (i32.add (local.get $event) (i32.const 156)))
        (i32.load (i32.add (local.get $event) (i32.const 160)))))

    ;; Word 9 of the first event, behind the stride: its length in the lower half, its place in the upper one.
    (func (export "handle-batch") (param $arena i32) (param i32) (param $index i32) (param i32) (result i32)
      (call $say
        (i32.add (local.get $arena) (i32.load (i32.add (local.get $index) (i32.const 84))))
        (i32.load (i32.add (local.get $index) (i32.const 80))))))
  (core instance $parrot (instantiate $parrot-module))
  (alias core export $parrot "memory" (core memory $mem))
  (alias core export $parrot "realloc" (core func $realloc))

  (func $handle (param "event" $event) (result (result (list $emit) (error $failure)))
    (canon lift (core func $parrot "handle") (memory $mem) (realloc $realloc)))
  (func $handle-batch (param "arena" (list u8)) (param "index" (list u64)) (result $answers)
    (canon lift (core func $parrot "handle-batch") (memory $mem) (realloc $realloc)))
  (instance $handler
    (export "source" (type $source)) (export "header" (type $header)) (export "event" (type $event))
    (export "emit" (type $emit)) (export "retry" (type $retry)) (export "failure" (type $failure))
    (export "handle" (func $handle)))
  (instance $batch
    (export "header" (type $header)) (export "emit" (type $emit)) (export "retry" (type $retry))
    (export "failure" (type $failure)) (export "event-emit" (type $event-emit))
    (export "event-failure" (type $event-failure)) (export "answers" (type $answers))
    (export "handle-batch" (func $handle-batch)))
  ;;@export
)
