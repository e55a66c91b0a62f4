;; A component of the world `event-handler`, whose handler runs the section `handle` and answers that the event is
;; done, unless the section returns something else. The first two pages of memory are taken: texts of fixtures from
;; 1024, the answer at 2048, free from 4096 up to 65536, what the host passes after that.
;;@use frames/types
;;@open (component
  ;;@import
  ;;@types

  (core module $memory-module
    ;;@memory-import
    ;;@memory (memory (export "memory") 2)
    (global $free (mut i32) (i32.const 65536))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      ;;@realloc
      ;; Everything is forgotten at the next call: the arguments of one call fit into the second page.
      (if (i32.gt_u (i32.add (global.get $free) (local.get 3)) (i32.const 130000))
        (then (global.set $free (i32.const 65536))))
      (global.get $free)
      (global.set $free
        (i32.and (i32.add (i32.add (global.get $free) (local.get 3)) (i32.const 7)) (i32.const -8)))))
  (core instance $memory (instantiate $memory-module
    ;;@memory-with
    ))
  (alias core export $memory "memory" (core memory $mem))
  (alias core export $memory "realloc" (core func $realloc))
  ;;@lower

  (core module $guest-module
    (import "memory" "memory" (memory 0))
    ;;@core-import
    ;;@core

    ;; The first letter of the event's type, by which an event chooses among the ways of a fixture.
    (func $letter (param $event i32) (result i32)
      (i32.load8_u (i32.load (i32.add (local.get $event) (i32.const 8)))))

    ;; Answers: done without emits, done with emits, rejected with a text.
    (func $done (result i32) (call $emits (i32.const 0) (i32.const 0)))
    (func $emits (param $list i32) (param $count i32) (result i32)
      (i32.store (i32.const 2048) (i32.const 0))
      (i32.store (i32.const 2056) (local.get $list))
      (i32.store (i32.const 2060) (local.get $count))
      (i32.const 2048))
    (func $reject (param $text i32) (param $bytes i32) (result i32)
      (i32.store (i32.const 2048) (i32.const 1))
      (i32.store (i32.const 2056) (i32.const 1))
      (i32.store (i32.const 2064) (local.get $text))
      (i32.store (i32.const 2068) (local.get $bytes))
      (i32.const 2048))

    ;; Writes an emit without headers at an address: 52 bytes, of a type, with a payload.
    (func $write_emit (param $at i32) (param $type i32) (param $type_bytes i32) (param $payload i32) (param $bytes i32)
      (memory.fill (local.get $at) (i32.const 0) (i32.const 52))
      (i32.store (local.get $at) (local.get $type))
      (i32.store (i32.add (local.get $at) (i32.const 4)) (local.get $type_bytes))
      (i32.store (i32.add (local.get $at) (i32.const 44)) (local.get $payload))
      (i32.store (i32.add (local.get $at) (i32.const 48)) (local.get $bytes)))

    (func (export "handle") (param $event i32) (result i32)
      ;;@local
      ;;@handle
      (call $done))
    (func (export "post-return") (param i32)
      ;;@post-return
      ))
  (core instance $guest (instantiate $guest-module
    ;;@core-with
    (with "memory" (instance $memory))))
  ;;@wire

  (func $handle (param "event" $event) (result (result (list $emit) (error $failure)))
    (canon lift (core func $guest "handle") (memory $mem) (realloc $realloc)
      ;;@lift
      (post-return (core func $guest "post-return"))))
  (instance $handler
    (export "source" (type $source)) (export "header" (type $header)) (export "event" (type $event))
    (export "emit" (type $emit)) (export "retry" (type $retry)) (export "failure" (type $failure))
    (export "handle" (func $handle)))
  ;;@export (export "guesthouse:handler/handler@0.1.0" (instance $handler))
;;@close )
