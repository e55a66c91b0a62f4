;; A component of the world `batch-handler`, whose handler runs the section `handle` and answers that all events are
;; done, unless the section returns something else. Memory as in the frame `event`; the answer stands at 2048: three
;; lists, of emits, failures and skipped events, each as address and length.
;;@use frames/types
(component
  ;;@import
  ;;@types
  (type $event-emit (record (field "event" u32) (field "emit" $emit)))
  (type $event-failure (record (field "event" u32) (field "failure" $failure)))
  (type $answers (record
    (field "emits" (list $event-emit)) (field "failures" (list $event-failure)) (field "skipped" (list u32))))

  (core module $guest-module
    ;;@memory (memory (export "memory") 2)
    (global $free (mut i32) (i32.const 65536))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (if (i32.gt_u (i32.add (global.get $free) (local.get 3)) (i32.const 130000))
        (then (global.set $free (i32.const 65536))))
      (global.get $free)
      (global.set $free
        (i32.and (i32.add (i32.add (global.get $free) (local.get 3)) (i32.const 7)) (i32.const -8))))
    ;;@core

    (func (export "handle-batch") (param $arena i32) (param $bytes i32) (param $index i32) (param $words i32) (result i32)
      ;;@local
      (memory.fill (i32.const 2048) (i32.const 0) (i32.const 24))
      ;;@handle
      (i32.const 2048)))
  (core instance $guest (instantiate $guest-module))
  (alias core export $guest "memory" (core memory $mem))

  (func $handle-batch (param "arena" (list u8)) (param "index" (list u64)) (result $answers)
    (canon lift (core func $guest "handle-batch") (memory $mem) (realloc (core func $guest "realloc"))))
  (instance $batch
    (export "header" (type $header)) (export "emit" (type $emit)) (export "retry" (type $retry))
    (export "failure" (type $failure)) (export "event-emit" (type $event-emit))
    (export "event-failure" (type $event-failure)) (export "answers" (type $answers))
    (export "handle-batch" (func $handle-batch)))
  (export "guesthouse:handler/batch@0.1.0" (instance $batch))
)
