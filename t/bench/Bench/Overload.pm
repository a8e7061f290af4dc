# Arrivals that do not wait (arrivals.c): the rate at which most good answers come, and what is left of it when three times as
# many requests arrive. It only drives the load and adds up; whether the work was done is for the caller to count.
package Bench::Overload;

use strict;
use warnings;

use Bench::Machine qw(processor_seconds);
use Exporter qw(import);

our @EXPORT_OK = qw(capacity_and_over request_text);

use constant {
    TIMES => 3,
    WITHIN_MS => 2000,   # a good answer that comes later is none
    SETTLE_MS => 1000,
    STEP => 1.25,        # of the ramp,
    STEP_MS => 1500,     # each for so long,
    ENOUGH => 0.9,       # as long as so many of the arrivals get a good answer
    STEPS_MOST => 20,
};

# As it is sent; with a body it gets a fresh Idempotency-Key each time.
sub request_text {
    my ($method, $path, $token, $body) = @_;
    my $head = "$method $path HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer $token\r\n";
    return "$head\r\n" unless defined $body;
    return $head . 'Idempotency-Key: ' . '@' x 16 . "\r\nContent-Type: application/json\r\nContent-Length: " . length($body) . "\r\n\r\n$body";
}

sub measured {
    my ($load, $row, $rate, $ms) = @_;
    my $told = $load->(rate => $rate, settle_ms => SETTLE_MS, measure_ms => $ms, connections => $row->{connections}, within_ms => WITHIN_MS);
    $told->{$_} /= $ms / 1000 for my @counts = qw(arrivals good late shed other failed lost unanswered);
    return { %$told, rate => $told->{good}, p50_ms => $told->{p50_us} / 1000, p99_ms => $told->{p99_us} / 1000, ms => $ms };
}

# Up to where the next step brings no more good answers, twice.
sub ramp {
    my ($load, $row) = @_;
    my ($rate, $behind, @steps) = ($row->{from}, 0);
    while ($behind < 2 && @steps < STEPS_MOST) {
        push @steps, measured($load, $row, $rate, STEP_MS);
        $behind = $steps[-1]{good} < ENOUGH * $steps[-1]{arrivals} ? $behind + 1 : 0;
        $rate *= STEP;
    }
    return @steps;
}

# Of 100 % of a core each.
sub shares {
    my ($before, $after, $seconds) = @_;
    return join ', ', map { sprintf '%s %.0f %%', $_, ($after->{$_} - $before->{$_}) / $seconds * 100 }
        grep { $after->{$_} - ($before->{$_} // 0) > 0.005 * $seconds } qw(load nginx battlepassd mariadb redis);
}

# The result of the peak; what was left of it stands in `beside`. good and sent: requests of both in all.
sub capacity_and_over {
    my ($s, $row, $load, $seconds) = @_;
    my @steps = ramp($load, $row);
    my ($peak) = sort { $b->{good} <=> $a->{good} } @steps;
    my $before = processor_seconds($s);
    my $over = measured($load, $row, TIMES * $peak->{good}, $seconds * 1000);
    my $share = shares($before, processor_seconds($s), ($seconds * 1000 + SETTLE_MS) / 1000);
    my @faults = map { my $kind = $_; map { $_->{$kind} > 0 ? sprintf('%.0f %s a second', $_->{$kind}, $kind) : () } $peak, $over } qw(other failed);
    my @all = (@steps, $over);
    my $sum = sub { my ($kind) = @_; my $all = 0; $all += $_->{$kind} * $_->{ms} / 1000 for @all; return int $all };
    $over->{note} = sprintf '%.0f a second arrive: %.0f good, %.0f late, %.0f refused, %.0f found no connection; of a core: %s',
        @$over{qw(arrivals good late shed lost)}, $share;
    print "\n    $over->{note}\n    ";
    return {
        %$peak, faults => \@faults, ramp => \@steps, beside => $over, good => $sum->('good'),
        # What arrived while settling is not told apart.
        sent => $sum->('arrivals') + 2 * SETTLE_MS / 1000 * $over->{arrivals} * @all,
    };
}

1;
