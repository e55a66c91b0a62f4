;; Makes 900 resources once in each of two nested components: few for one, too many for both.
;;@frame event
;;@open
(component
  (component $hoard
    (type $thing (resource (rep i32)))
    (core func $new (canon resource.new $thing))
    (core module $hoard
      (import "things" "new" (func $new (param i32) (result i32)))
      (global $n (mut i32) (i32.const 0))
      (func (export "fill")
        (if (global.get $n) (then (return)))
        (loop $more
          (drop (call $new (i32.const 7)))
          (global.set $n (i32.add (global.get $n) (i32.const 1)))
          (br_if $more (i32.lt_u (global.get $n) (i32.const 900))))))
    (core instance $hoarder (instantiate $hoard (with "things" (instance (export "new" (func $new))))))
    (func (export "fill") (canon lift (core func $hoarder "fill"))))
  (instance $one (instantiate $hoard))
  (instance $two (instantiate $hoard))
  (component $inner
    (import "one" (func $one))
    (import "two" (func $two))
;;@lower
(core func $fill-one (canon lower (func $one)))
(core func $fill-two (canon lower (func $two)))
;;@core-import
(import "hoards" "one" (func $fill_one))
(import "hoards" "two" (func $fill_two))
;;@core-with
(with "hoards" (instance (export "one" (func $fill-one)) (export "two" (func $fill-two))))
;;@handle
(call $fill_one)
(if (i32.eq (call $letter (local.get $event)) (i32.const 0x62)) (then (call $fill_two)))
;;@close
)
  (instance $inner (instantiate $inner (with "one" (func $one "fill")) (with "two" (func $two "fill"))))
  (export "guesthouse:handler/handler@0.1.0" (instance $inner "guesthouse:handler/handler@0.1.0")))
