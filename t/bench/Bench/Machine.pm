# What the machine and the stack's processes say of themselves: memory, processor time, versions. It only looks.
package Bench::Machine;

use strict;
use warnings;

use Exporter qw(import);
use List::Util qw(sum0);
use POSIX ();

our @EXPORT_OK = qw(children machine private_memory processor_seconds);

# Processes that this one has started.
sub children {
    my ($parent) = @_;
    open my $in, '<', "/proc/$parent/task/$parent/children" or return;
    return split ' ', <$in> // '';
}

sub daemon_pids {
    my ($s) = @_;
    my $master = $s->master_pid;
    return ($master, children($master));
}

# Private bytes of the master and all its processes.
sub private_memory {
    my ($s) = @_;
    my $kib = 0;
    for my $pid (daemon_pids($s)) {
        open my $in, '<', "/proc/$pid/smaps_rollup" or next;
        while (my $line = <$in>) { $kib += $1 if $line =~ /^Private_(?:Clean|Dirty):\s+(\d+)/ }
    }
    return $kib * 1024;
}

# Seconds of processor time that each part of the stack has used.
sub processor_seconds {
    my ($s) = @_;
    my %pids = (
        battlepassd => [daemon_pids($s)],
        nginx => [$s->pid('nginx'), children($s->pid('nginx'))],
        mariadb => [$s->pid('mariadb')],
        redis => [$s->pid('redis')],
        economy => [$s->pid('economy')],
    );
    my %seconds = (load => sum0((times)[2, 3]));
    for my $name (keys %pids) {
        for my $pid (@{ $pids{$name} }) {
            open my $in, '<', "/proc/$pid/stat" or next;
            my @fields = split ' ', (split /\) /, <$in>)[-1];
            $seconds{$name} += ($fields[11] + $fields[12]) / POSIX::sysconf(POSIX::_SC_CLK_TCK());
        }
    }
    return \%seconds;
}

sub first_line {
    my ($command) = @_;
    my ($line) = split /\n/, `{ $command; } 2>&1`;
    return $line // '';
}

# What the figures were measured on.
sub machine {
    my ($s) = @_;
    open my $in, '<', '/proc/cpuinfo' or die "/proc/cpuinfo: $!\n";
    my @models = map { /^model name\s*:\s*(.*)$/ ? "$1" : () } <$in>;
    my ($kernel, $hardware) = (POSIX::uname())[ 2, 4 ];
    return {
        cores => scalar @models, processor => $models[0] // $hardware, kernel => $kernel,
        nginx => first_line('PATH=$PATH:/usr/sbin nginx -v') =~ s{^.*nginx/}{}r,
        mariadb => scalar $s->db->selectrow_array('SELECT VERSION()'),
        redis => $s->redis('INFO', 'server') =~ /^redis_version:(\S+)/m ? "$1" : '',
        wrk => first_line('wrk -v') =~ /^wrk (\S+)/ ? "$1" : '',
        sysbench => first_line('sysbench --version') =~ s/^sysbench //r,
    };
}

1;
