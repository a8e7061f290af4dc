# Clients beside a test: processes of their own that ask again and again, and say in the end what came of it.
package Battlepass::Load;

use strict;
use warnings;

use Exporter qw(import);
use IO::Select;
use JSON::PP qw(decode_json encode_json);
use POSIX ();
use Time::HiRes qw(time);

our @EXPORT_OK = qw(background finish start_load stop_load);

# Runs code beside the test; finish() waits for what it returned.
sub background {
    my ($code) = @_;
    my $pid = open(my $from, '-|') // die "fork: $!";
    if ($pid == 0) {
        my $result = eval { encode_json([ $code->() ]) } // encode_json({ died => "$@" });
        print STDOUT $result;
        STDOUT->flush;
        POSIX::_exit(0);
    }
    return $from;
}

sub finish {
    my ($from) = @_;
    local $/ = undef;
    my $result = decode_json(<$from> || '{"died":"no result"}');
    close $from;
    die $result->{died} if ref $result eq 'HASH';
    return wantarray ? @$result : $result->[0];
}

# Clients that each ask again and again, one request at a time; client->(number) makes what asks and returns a hash of the
# outcome: ok, and what else is of interest when it was not.
sub start_load {
    my (%clients) = @_;
    pipe my $stop_in, my $stop_out or die "pipe: $!";
    my $select = IO::Select->new($stop_in);
    my @running;
    for my $name (sort keys %clients) {
        my ($count, $client) = @{ $clients{$name} };
        push @running, map { my $number = $_; background(sub { ask_again($name, $select, $client->($number)) }) } 1 .. $count;
    }
    return { running => \@running, stop => $stop_out };
}

sub ask_again {
    my ($name, $select, $ask) = @_;
    my %result = (name => $name, done => 0, failed => []);
    until ($select->can_read(0.004)) {
        my $started = time;
        my $outcome = eval { $ask->(++$result{done}) } // { ok => 0, status => "$@" };
        push @{ $result{failed} }, { %$outcome, started => $started, ended => time, client => $$ } unless $outcome->{ok};
    }
    return \%result;
}

# Name => { done, failed }.
sub stop_load {
    my ($load) = @_;
    syswrite $load->{stop}, 'x';
    my %total;
    for my $client (map { finish($_) } @{ $load->{running} }) {
        $total{ $client->{name} }{done} += $client->{done};
        push @{ $total{ $client->{name} }{failed} }, @{ $client->{failed} };
    }
    return \%total;
}

1;
